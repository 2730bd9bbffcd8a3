"""Programs of tools/export.py: read again and beside the model, and what is refused or not kept."""

import copy
import dataclasses
import importlib.util
import json
import os
import re
from pathlib import Path

import pytest
import torch
from predictions import NAMES, moving
from videos import make_video

from slowfast_ext.export import export
from slowfast_ext.predict import Predictor
from slowfast_ext.predict.command import predict
from slowfast_ext.programs import forms, write_programs
from slowfast_ext.programs.check import require_equal
from slowfast_ext.programs.forms import OnnxForm, TorchForm
from vtn import InputError

# Not plain imports: on a machine with a GPU all files are collected, and these packages may not be there.
onnx, onnxruntime = map(pytest.importorskip, ("onnx", "onnxruntime"))

VIT = tuple("VTN.NUM_HIDDEN_LAYERS 3 VTN.ATTENTION_WINDOW [4,8,70]".split())
RESNET = tuple("VTN.BACKBONE test_resnet VTN.NUM_HIDDEN_LAYERS 1 VTN.ATTENTION uniform".split())
I3D = tuple("MODEL.ARCH i3d MODEL.MODEL_NAME ResNet RESNET.DEPTH 50 TRAIN.EVAL_FULL_VIDEO False".split())
LARGER = "DATA.TRAIN_CROP_SIZE 64 DATA.TEST_CROP_SIZE 64 DATA.TRAIN_JITTER_SCALES [64,64]"
# None of those that the command itself compares.
LENGTHS, IMAGES = (2, 64, 77, 300), (3, 4)


@pytest.fixture(scope="module")
def vit(checkpoint_of):
    return checkpoint_of(*VIT)


@pytest.fixture(scope="module")
def resnet(checkpoint_of):
    return checkpoint_of(*RESNET)


@pytest.fixture(scope="module")
def torch_folder(vit, tmp_path_factory):
    """Both programs of the ViT, of torch.export."""
    folder = tmp_path_factory.mktemp("programs")
    export([str(vit), "--to", "torch", "--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def onnx_folder(vit):
    """Both programs of the ViT, as ONNX, where the command puts them by itself."""
    export([str(vit), "--to", "onnx"])
    return vit.with_name("programs_epoch_00001_onnx")


def torch_programs(folder: Path) -> dict[str, object]:
    """Read without this project, as its user would."""
    load = {name: torch.export.load(folder / f"{name}.pt2").module() for name in ("backbone", "temporal")}
    return {"backbone": load["backbone"], "temporal": lambda *inputs: load["temporal"](*inputs)[0]}


def onnx_programs(folder: Path) -> dict[str, object]:
    def program(name: str):
        session = onnxruntime.InferenceSession(folder / f"{name}.onnx")
        names = [value.name for value in session.get_inputs()]
        return lambda *inputs: torch.from_numpy(
            session.run(None, dict(zip(names, (value.numpy() for value in inputs), strict=True)))[0]
        )

    return {name: program(name) for name in ("backbone", "temporal")}


def assert_equal_at_other_sizes(programs: dict, checkpoint: Path) -> None:
    model = Predictor(checkpoint).model
    with torch.no_grad():
        for count in IMAGES:
            clip = torch.randn(1, 3, count, 32, 32)
            wanted = model.frame_features(clip)[0]
            found = programs["backbone"](clip[0].transpose(0, 1).contiguous())
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4 * wanted.abs().max().item())
        for length in LENGTHS:
            features = torch.randn(2, length, model.embed_dim)
            indices = torch.stack([torch.arange(length) * 5, torch.arange(length) // 4])
            wanted = model.classify(features, indices)
            assert wanted.std() > 0.05
            found = programs["temporal"](features, indices)
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4 * wanted.abs().max().item())


@pytest.mark.slow
def test_torch_programs_are_the_model_at_any_size(vit, torch_folder, resnet, tmp_path, capsys):
    assert_equal_at_other_sizes(torch_programs(torch_folder), vit)
    export([str(resnet), "--to", "torch", "--out", str(tmp_path / "out")])
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert sorted(os.listdir(tmp_path / "out")) == ["backbone.pt2", "temporal.pt2"]
    assert_equal_at_other_sizes(torch_programs(tmp_path / "out"), resnet)
    told = capsys.readouterr().out
    assert told.endswith(f"the programs of {resnet} are written to {tmp_path}/out\n")
    for words in ("1 frame", "2 frames", "5 frames", "1 feature", "16 features", "250 features"):
        assert re.search(rf" {words} \d\.\de[+-]\d\d", told)
    for words in ("1,000 features", "a short video", "beyond the positions", "2 videos"):
        assert re.search(rf" {words} \d\.\de[+-]\d\d", told)


@pytest.mark.slow
def test_onnx_programs_are_the_model_at_any_size(vit, onnx_folder, resnet, tmp_path):
    assert_equal_at_other_sizes(onnx_programs(onnx_folder), vit)
    export([str(resnet), "--to", "onnx", "--opset", "18", "--out", str(tmp_path / "out")])
    assert_equal_at_other_sizes(onnx_programs(tmp_path / "out"), resnet)
    for folder, opset in ((tmp_path / "out", 18), (onnx_folder, 20)):
        for name in ("backbone", "temporal"):
            (imported,) = onnx.load(folder / f"{name}.onnx").opset_import
            assert (imported.domain, imported.version) == ("", opset)


def test_a_file_says_what_it_takes_and_gives(vit, onnx_folder, torch_folder, tmp_path):
    session = onnxruntime.InferenceSession(onnx_folder / "temporal.onnx")
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {
        "frame_features": ["videos", "frames", 64],
        "frame_indices": ["videos", "frames"],
        "logits": ["videos", 5],
        "scores": ["videos", 5],
    }
    session = onnxruntime.InferenceSession(onnx_folder / "backbone.onnx")
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {"images": ["images", 3, 32, 32], "features": ["images", 64]}

    text = session.get_modelmeta().custom_metadata_map["vtn.json"]
    facts = json.loads(text)
    assert facts["class_names"] == list(NAMES)
    assert (facts["num_classes"], facts["embed_dim"]) == (5, 64)
    pixels, frames = facts["pixels"], facts["frames"]
    assert (pixels["short_side"], pixels["crop_size"], pixels["colours"]) == (40, 32, "RGB")
    assert (pixels["mean"], pixels["std"]) == ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])  # test_vit's
    assert (frames["num_frames"], frames["sampling_rate"], frames["target_fps"]) == (12, 4, 25)
    assert frames["rule"].startswith("full_video_frame_indices")
    assert facts["versions"]["torch"] == torch.__version__
    assert facts["versions"]["onnx"] == onnx.__version__

    clip = make_video(tmp_path / "clip.mp4", 20, fps=25, size=(48, 48), picture=moving)
    predict([str(vit), str(clip), "--out", str(tmp_path / "found.jsonl")])
    assert json.loads((tmp_path / "found.jsonl").read_text())["model"] == facts["fingerprint"]

    extra = {"vtn.json": ""}
    torch.export.load(torch_folder / "temporal.pt2", extra_files=extra)
    of_torch = json.loads(extra["vtn.json"])
    assert {**of_torch, "versions": facts["versions"]} == facts


def test_no_path_of_this_machine_is_in_a_file(onnx_folder, torch_folder):
    code = os.fsencode(Path(forms.__file__).parents[2])
    for path in (*onnx_folder.iterdir(), *torch_folder.iterdir()):
        assert code not in path.read_bytes(), path


def test_clips_are_said_and_so_is_what_no_program_does(resnet, tmp_path, capsys):
    clips = "TRAIN.EVAL_FULL_VIDEO False TEST.NUM_ENSEMBLE_VIEWS 2 VTN.REUSE_FRAMES 0.9"
    export([str(resnet), "--to", "torch", "--out", str(tmp_path / "clips"), "--opts", *clips.split()])
    assert "VTN.REUSE_FRAMES 0.9 is no part of the programs" in capsys.readouterr().out
    extra = {"vtn.json": ""}
    torch.export.load(tmp_path / "clips" / "temporal.pt2", extra_files=extra)
    frames = json.loads(extra["vtn.json"])["frames"]
    assert frames["rule"] == "clip_frame_indices: clips of num_frames * sampling_rate / target_fps s"
    assert (frames["num_frames"], frames["clips"], frames["crops"]) == (4, 2, 1)
    assert frames["frame_indices"] == "numbers of the frames in the video, from 0"


def altered_onnx(path: Path) -> None:
    """Add 0.05 to the first number of the last matrix, in the file."""
    model = onnx.load(path)
    tensor = [value for value in model.graph.initializer if len(value.dims) == 2][-1]
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.flat[0] += 0.05
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)


@pytest.mark.parametrize("name", ["backbone", "temporal"])
def test_one_changed_weight_of_a_file_is_seen(vit, onnx_folder, tmp_path, name):
    path = tmp_path / f"{name}.onnx"
    path.write_bytes((onnx_folder / path.name).read_bytes())
    model = Predictor(vit).model
    program = forms.Program(
        name,
        model.backbone,
        dict.fromkeys(["images"] if name == "backbone" else ["frame_features", "frame_indices"]),
        (),
        ("features",) if name == "backbone" else ("logits", "scores"),
    )
    assert max(require_equal(name, model, OnnxForm().load(path, program), 32).values()) < 1e-5
    altered_onnx(path)
    with pytest.raises(InputError, match=rf"the {name} that was written differs from the model by"):
        require_equal(name, model, OnnxForm().load(path, program), 32)


def test_a_program_that_differs_is_not_kept(resnet, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    export([str(resnet), "--to", "torch", "--out", str(out)])
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    write = TorchForm.write

    def write_another(form, program, facts, path):
        module = copy.deepcopy(program.module)
        if program.name == "temporal":
            module.encoder.layers[0].ffn_in.bias.data[3] += 0.5
        return write(form, dataclasses.replace(program, module=module), facts, path)

    monkeypatch.setattr(TorchForm, "write", write_another)
    capsys.readouterr()
    with pytest.raises(InputError, match=r"the temporal that was written differs .* so nothing is kept"):
        export([str(resnet), "--to", "torch", "--out", str(out)])
    assert "are written" not in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (lambda *inputs: [torch.full((len(inputs[0]), 64), float("nan"))], "differs from the model by nan"),
        (lambda *inputs: [torch.zeros(1)], "differs from the model by inf"),
        (lambda *inputs: 1 / 0, r"does not run with 1 frame \(division by zero\)"),
    ],
)
def test_an_answer_that_is_none_is_seen(vit, fault, sentence):
    with pytest.raises(InputError, match=sentence):
        require_equal("backbone", Predictor(vit).model, fault, 32)


def test_earlier_programs_are_replaced_and_nothing_else_is(resnet, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "backbone.onnx").write_text("of another day")
    export([str(resnet), "--to", "torch", "--out", str(out)])
    assert sorted(os.listdir(out)) == ["backbone.pt2", "temporal.pt2"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=rf"the folder {out} holds something else \(notes.txt\)"):
        export([str(resnet), "--to", "torch", "--out", str(out)])
    assert sorted(os.listdir(out)) == ["backbone.pt2", "notes.txt", "temporal.pt2"]


def test_places_that_cannot_be_written(vit, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=rf"{tmp_path}/file is no folder"):
        export([str(vit), "--to", "torch", "--out", str(tmp_path / "file")])
    for out in ("/proc/programs", str(tmp_path / "file" / "deeper"), str(tmp_path / "missing" / "deeper")):
        with pytest.raises(InputError, match=rf"^cannot write {out}: "):
            export([str(vit), "--to", "torch", "--out", out])
    assert os.listdir(tmp_path) == ["file"]


def test_what_cannot_be_exported(checkpoint_of, vit, tmp_path):
    def refuse(sentence: str, *words: str, checkpoint: Path = vit) -> None:
        with pytest.raises(InputError, match=sentence):
            export([str(checkpoint), "--out", str(tmp_path / "out"), *words])
        assert not os.listdir(tmp_path)

    refuse(r"^VTN.SHUFFLE_FRAMES cannot be exported", *"--to torch --opts VTN.SHUFFLE_FRAMES True".split())
    merging = checkpoint_of(*f"VTN.MERGE_TOKENS 1 {LARGER}".split())
    refuse(r"^VTN.MERGE_TOKENS cannot be exported", "--to", "torch", checkpoint=merging)
    bert = checkpoint_of("VTN.SEQUENCE_ENCODER", "bert")
    refuse(r"\(VTN.SEQUENCE_ENCODER\) cannot be exported", "--to", "torch", checkpoint=bert)
    refuse("only a VTN has programs", "--to", "torch", checkpoint=checkpoint_of(*I3D))
    for opset in ("17", "24", "0", "-1"):
        refuse(rf"--opset is {opset}: torch.onnx writes 18 to 23", "--to", "onnx", "--opset", opset)
    refuse("--opset is for --to onnx", "--to", "torch", "--opset", "18")
    refuse("--cfg and --opts are for programs", *"--to safetensors --opts VTN.MERGE_TOKENS 0".split())
    refuse("holds no checkpoint of a run", "--to", "onnx", checkpoint=tmp_path)


def test_a_package_that_is_not_there_is_named_with_what_to_type(vit, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(InputError, match="packages that are not installed: type `pip install onnxscript`"):
        export([str(vit), "--to", "onnx"])


def test_what_cannot_be_traced_or_is_too_large_is_said(vit, tmp_path, monkeypatch):
    predictor = Predictor(vit)

    class DependsOnValues(torch.nn.Module):
        def forward(self, images):
            return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))

    backbone, predictor.model.backbone = predictor.model.backbone, DependsOnValues()
    with pytest.raises(InputError, match=r"^the backbone cannot be traced \(.*, so nothing is kept$"):
        write_programs(predictor, tmp_path / "out", TorchForm(), print)
    predictor.model.backbone = backbone
    monkeypatch.setattr(forms, "_LARGEST_ONNX", 1000)
    with pytest.raises(InputError, match=r"GiB of weights, and an ONNX file holds less than 2"):
        write_programs(predictor, tmp_path / "out", OnnxForm(), print)
    assert not os.listdir(tmp_path)


@pytest.mark.slow
def test_programs_of_the_papers_size(checkpoint_of, tmp_path):
    sizes = "DATA.TRAIN_CROP_SIZE 224 DATA.TEST_CROP_SIZE 224 DATA.TRAIN_JITTER_SCALES [256,320] VTN.BACKBONE"
    paper = f"{sizes} vit_base_patch16_224 VTN.NUM_HIDDEN_LAYERS 3 VTN.ATTENTION_WINDOW [32]"
    checkpoint = checkpoint_of(*paper.split(), "VTN.NUM_ATTENTION_HEADS", "12")
    for form in ("torch", "onnx"):
        export([str(checkpoint), "--to", form, "--out", str(tmp_path / form)])
    programs = onnx_programs(tmp_path / "onnx")
    features, indices = torch.randn(1, 2000, 768), torch.arange(2000)[None]
    with torch.no_grad():
        wanted = Predictor(checkpoint).model.classify(features, indices)
    assert (programs["temporal"](features, indices) - wanted).abs().max() < 1e-4 * wanted.abs().max()
