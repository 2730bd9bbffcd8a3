"""tools/plot_evidence.py end to end: its numbers against the model in plain Python and against a test's."""

import hashlib
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from predictions import moving
from videos import make_video

import vtn
from slowfast_ext.config import load_config
from slowfast_ext.features.command import extract_features
from slowfast_ext.plugin import loops
from slowfast_ext.report import plot_evidence, removal, removal_picture
from slowfast_ext.report.plot_evidence import draw_evidence
from slowfast_ext.video import VideoReader, full_video_frame_indices, to_clip
from vtn import InputError

VIDEOS = 7  # of test.csv


@pytest.fixture
def run(attentive_run, data_dir, tmp_path):
    """As attentive_run, with videos and lists, and scores that depend on the frames; returns its folder."""
    shutil.copytree(data_dir, tmp_path / "data", dirs_exist_ok=True)
    for number in range(VIDEOS):
        path = tmp_path / "data" / f"{number}.mp4"
        make_video(path, 20 + 3 * number, fps=25, size=(64, 48), picture=moving)

    def make(name: str, *overrides: str) -> Path:
        _, path = attentive_run(name, *overrides)
        content = torch.load(path, weights_only=True)
        for weight in content["model_state"].values():
            if weight.ndim > 1:
                weight.mul_(2)
        torch.save(content, path)
        return tmp_path / name

    return make


@pytest.fixture
def quick(monkeypatch):
    """Few points and orders: how curves come about is tested elsewhere."""
    monkeypatch.setattr(removal, "POINTS", 5)
    monkeypatch.setattr(removal, "RANDOM_ORDERS", 2)
    monkeypatch.setattr(removal, "RESAMPLINGS", 50)


def written(folder: Path, split: str = "test") -> dict:
    return json.loads((folder / f"evidence_{split}.json").read_text())


@torch.inference_mode()
def curves_in_python(path: str, video: Path, layer: int) -> np.ndarray:
    """Deletion and insertion by attention, a `classify` of what remains for each point; (2, 21)."""
    model = vtn.create_model(checkpoint=path).eval()
    reader = VideoReader(video)
    wanted = full_video_frame_indices(reader.num_frames, num_frames=model.recipe.full_video_frames)
    clip = to_clip(reader.read(wanted), model.recipe, pixel_aspect=reader.info.pixel_aspect)
    features = model.frame_features(clip)
    logits, attention = model.classify(features, wanted[None], return_attention=True)
    label, order = int(logits.argmax()), attention[0, layer].mean(0).argsort(descending=True, stable=True)
    points = []
    for fraction in np.linspace(0, 1, 21):
        taken = round(fraction * len(order))
        kept = [order[taken:].sort().values, order[:taken].sort().values]
        points.append([score_of(model, features, wanted, frames, label) for frames in kept])
    return np.array(points).T


def score_of(model, features, indices, frames, label) -> float:
    if not len(frames):
        return float("nan")  # `classify` takes no empty video
    logits = model.classify(features[:, frames], indices[None, frames])
    return float(logits.softmax(dim=1)[0, label])


def test_the_curves_are_means_of_what_the_model_says_of_the_frames_that_remain(run, capsys, tmp_path):
    folder = run("mine")
    (checkpoint,) = (folder / "checkpoints").glob("*.pyth")
    words = [str(folder), "--by", "frame", "--videos", "3", "--out", str(tmp_path / "there")]
    assert draw_evidence(words) == 0
    found = written(tmp_path / "there")
    assert list(found["orders"]) == ["attention, layer 1", "attention, layer 2", "occlusion", "random"]
    for layer in (0, 1):
        expected = np.mean(
            [curves_in_python(str(checkpoint), tmp_path / f"data/{n}.mp4", layer) for n in (0, 2, 4)], axis=0
        )
        order = found["orders"][f"attention, layer {layer + 1}"]
        np.testing.assert_allclose(order["deletion"]["mean"][:-1], expected[0, :-1], atol=2e-5)
        np.testing.assert_allclose(order["insertion"]["mean"][1:], expected[1, 1:], atol=2e-5)
        assert np.ptp(expected[0, :-1]) > 0.01
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert (found["checkpoint"], found["checkpoint_sha256"]) == (str(checkpoint), digest)
    assert (found["num_videos"], found["failed"], found["split"]) == (3, [], "test")
    assert found["command"] == f"vtn plot_evidence {shlex.join(words)}"
    assert found["machine"]
    out = capsys.readouterr().out
    area = found["orders"]["random"]["deletion_area"]
    assert f"random: area under deletion {area['mean']:.3f} [{area['low']:.3f}, {area['high']:.3f}]" in out
    assert f"3 videos: {tmp_path}/there/evidence_test.json and" in out
    picture = (tmp_path / "there" / "evidence_test.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert not list(folder.glob("evidence*"))


def test_certainty_is_that_of_a_test_of_the_same_checkpoint(run, quick):
    folder = run("mine")
    draw_evidence([str(folder), "--layer", "2"])
    loops.test(load_config(folder / "config.yaml", ["TRAIN.ENABLE", "False"]))
    found, tested = written(folder), json.loads((folder / "test_results.json").read_text())
    for name in ("ece", "nll", "ece_scaled", "nll_scaled", "temperature"):
        assert found["calibration"][name] == pytest.approx(tested[name], abs=2e-4)
    assert f"{found['top1_acc']:.2f}" == tested["top1_acc"]
    bins = found["calibration"]["bins"]
    assert sum(bins["count"]) == VIDEOS
    gaps = np.abs(np.subtract(bins["accuracy"], bins["confidence"]))
    assert np.dot(bins["count"], gaps) / VIDEOS == pytest.approx(tested["ece"], abs=2e-4)
    assert list(found["orders"]) == ["attention, layer 2", "occlusion", "random"]


def test_a_checkpoint_a_split_some_videos_and_the_true_class(run, quick, monkeypatch):
    folder, seen, measure = run("mine"), [], removal.measure_removal

    def note(model, look, label, **options):
        seen.append((int(look.path.stem), label, options["number"]))
        return measure(model, look, label, **options)

    monkeypatch.setattr(removal, "measure_removal", note)
    (checkpoint,) = (folder / "checkpoints").glob("*.pyth")
    words = [str(checkpoint), "--split", "val", "--videos", "3", "--follow", "true"]
    assert draw_evidence(words) == 0
    assert seen == [(0, 0, 0), (2, 2, 2), (4, 4, 4)]  # of seven; the label is the number, modulo five
    found = written(folder, "val")
    assert (found["num_videos"], found["followed"]) == (3, "true")
    assert found["command"] == f"vtn plot_evidence {shlex.join(words)}"


def test_stored_features_say_the_same(run, quick, tmp_path):
    folder, store = run("mine"), tmp_path / "features"
    (checkpoint,) = (folder / "checkpoints").glob("*.pyth")
    videos = [str(tmp_path / "data" / f"{n}.mp4") for n in range(VIDEOS)]
    extract_features([str(checkpoint), *videos, "--out", str(store), "--workers", "0"])
    draw_evidence([str(folder), "--out", str(tmp_path / "decoded")])
    draw_evidence(
        [str(folder), "--out", str(tmp_path / "stored"), "VTN.FEATURES", str(store), "ENGINE", "own"]
    )
    decoded, stored = (written(tmp_path / name) for name in ("decoded", "stored"))
    for name, order in decoded["orders"].items():
        for kind in ("deletion", "insertion"):
            same = stored["orders"][name][kind]["mean"]
            np.testing.assert_allclose(same, order[kind]["mean"], atol=1e-4)


def test_the_true_action_of_the_demonstrations_data(run, quick, capsys, tmp_path):
    folder = run("mine")
    actions = {f"{n}.mp4": {"action_frames": [0, 10]} for n in range(4)}
    (tmp_path / "data" / "annotations.json").write_text(json.dumps({"videos": actions}))
    draw_evidence([str(folder)])
    found = written(folder)["inside_action"]
    # Twelve frames of 20, 23, 26 and 29, in the middles of as many parts: those with a number below 10.
    shares = [np.mean(full_video_frame_indices(20 + 3 * n, num_frames=12).numpy() < 10) for n in range(4)]
    assert found["time"] == {"mean": pytest.approx(np.mean(shares), abs=1e-5), "num_videos": 4}
    assert "inside the true action: time 0." in capsys.readouterr().out


def test_another_file_of_that_name_is_none_of_the_demonstration(run, quick, tmp_path):
    folder = run("mine")
    (tmp_path / "data" / "annotations.json").write_text('{"videos": ["0.mp4"]}')
    assert draw_evidence([str(folder), "--videos", "2"]) == 0
    assert "inside_action" not in written(folder)


def test_a_video_that_cannot_be_read_is_named_and_left_out(run, quick, capsys, tmp_path):
    folder = run("mine")
    (tmp_path / "data" / "3.mp4").write_text("no video")
    assert draw_evidence([str(folder)]) == 1
    found = written(folder)
    assert found["num_videos"] == VIDEOS - 1
    (failed,) = found["failed"]
    assert failed["path"] == str(tmp_path / "data" / "3.mp4")
    assert f"left out: {failed['path']} " in capsys.readouterr().err
    for n in range(VIDEOS):
        (tmp_path / "data" / f"{n}.mp4").write_text("no video")
    with pytest.raises(
        InputError, match="none of the 7 videos could be read, so there is nothing to measure"
    ):
        draw_evidence([str(folder)])


def test_one_video_has_neither_intervals_nor_a_temperature(run, quick):
    folder = run("mine")
    assert draw_evidence([str(folder), "--videos", "1"]) == 0
    found = written(folder)
    assert found["orders"]["random"]["deletion_area"]["low"] is None
    assert "temperature" not in found["calibration"]


def test_ctrl_c_leaves_nothing(run, monkeypatch):
    folder = run("mine")
    before = sorted(folder.rglob("*"))

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(removal, "measure_removal", interrupt)
    with pytest.raises(KeyboardInterrupt, match="interrupted: nothing was written, and the same command"):
        draw_evidence([str(folder)])
    assert sorted(folder.rglob("*")) == before


def test_uniform_attention_is_said_to_order_nothing(run, quick, capsys):
    folder = run("uniform", "VTN.ATTENTION", "uniform")
    assert draw_evidence([str(folder), "--videos", "2"]) == 0
    assert "attention is uniform: its order says nothing" in capsys.readouterr().out
    assert written(folder)["attention"] == "uniform"


def test_the_picture_shows_the_numbers(run, quick, monkeypatch):
    figures, folder = [], run("mine")
    monkeypatch.setattr(removal_picture, "save", lambda figure, path: figures.append(figure))
    draw_evidence([str(folder)])
    found, ((deletion, insertion, reliability),) = written(folder), [figure.axes for figure in figures]
    for axes, kind in ((deletion, "deletion"), (insertion, "insertion")):
        for line, order in zip(axes.lines, found["orders"].values(), strict=True):
            np.testing.assert_allclose(line.get_xdata(), found["fractions"])
            np.testing.assert_allclose(line.get_ydata(), order[kind]["mean"])
        assert len(axes.collections) == len(found["orders"])  # the bands
    bins = found["calibration"]["bins"]
    shown = np.array(list(zip(bins["confidence"], bins["accuracy"], strict=True)))
    np.testing.assert_allclose(reliability.collections[0].get_offsets(), shown)
    names = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert [name.split(":")[0] for name in names] == list(found["orders"])
    assert f"error {found['calibration']['ece']:.3f}" in reliability.get_legend().texts[0].get_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "there are 0 runs: name one checkpoint, or the folder of one run"),
        (["RUN", "other"], "there are 2 runs"),
        (["gone"], "gone: no such file or folder: name a checkpoint or the folder of a run"),
        (["RUN", "--videos", "0"], "--videos is 0: it must be at least 1"),
        (["RUN", "--layer", "3"], "--layer is 3: mine has layers 1 to 2; or type --layer all"),
        (["RUN", "--out", "RUN/config.yaml"], "cannot write into .*config.yaml: File exists"),
        (["RUN", "--cfg", "no.yaml"], "no.yaml: no such file: name the configuration of .* with --cfg FILE"),
        (["RUN", "MODEL.MODEL_NAME", "ResNet", "MODEL.ARCH", "i3d"], "only a VTN has a CLS token whose"),
        pytest.param(
            ["RUN", "VTN.SEQUENCE_ENCODER", "bert"],
            "such an encoder does not return its attention",
            marks=pytest.mark.slow,
        ),
        (["RUN", "VTN.SHUFFLE_FRAMES", "True"], "evidence cannot be had with shuffle_frames"),
        (["RUN", "NUM_CLASSES", "5"], "NUM_CLASSES .* is not a key"),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, run, tmp_path, monkeypatch):
    folder = run("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=sentence):
        draw_evidence([word.replace("RUN", str(folder)) for word in words])


def test_it_is_a_command(capsys):
    with pytest.raises(SystemExit) as ended:
        draw_evidence(["--help"])
    assert ended.value.code == 0
    assert plot_evidence._DESCRIPTION.split(",")[0] in " ".join(capsys.readouterr().out.split())
