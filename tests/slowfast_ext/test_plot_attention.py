"""tools/plot_attention.py: what it draws is what the model in plain Python says of the same file."""

import numpy as np
import pytest
import torch
from videos import read_numbers

import vtn
from slowfast_ext.report import attention
from slowfast_ext.report.plot_attention import draw_attention
from slowfast_ext.video import VideoReader, full_video_frame_indices, to_clip
from vtn import InputError


@pytest.fixture
def run(attentive_run):
    return attentive_run


@pytest.fixture
def drawn(monkeypatch) -> list[attention.AttentionStrip]:
    """The strips of the pictures; of each picture the first strip is drawn, which takes the most time."""
    strips, plot = [], attention.plot_strips

    def plot_strips(found, path, **options):
        strips.extend(found)
        plot(found[:1], path, **options)

    monkeypatch.setattr(attention, "plot_strips", plot_strips)
    return strips


@torch.inference_mode()
def seen_in_python(path: str, video: str) -> tuple[torch.Tensor, np.ndarray, torch.Tensor]:
    """As docs/python.md does it: scores (K,), attention (L, H, T), frame indices (T,)."""
    model = vtn.create_model(checkpoint=path).eval()
    reader = VideoReader(video)
    wanted = full_video_frame_indices(reader.num_frames, num_frames=model.recipe.full_video_frames)
    clip = to_clip(reader.read(wanted), model.recipe, pixel_aspect=reader.info.pixel_aspect)
    logits, weights = model.classify(model.frame_features(clip), wanted[None], return_attention=True)
    return logits.softmax(dim=1)[0], weights[0].numpy(), wanted


def test_each_layer_and_head_is_drawn_over_the_right_frames(run, drawn, data_dir, capsys, tmp_path):
    config, path = run("mine")
    video = str(data_dir / "3.mp4")
    scores, weights, wanted = seen_in_python(path, video)
    assert np.ptp(weights) > 0.1
    asked = ((1, "mean"), (2, "mean"), (1, "3"), (2, "4"))
    for layer, head in asked:
        words = ["--layer", str(layer), "--head", head, "--frames", "3"]
        assert draw_attention(["--cfg", config, video, *words]) == 0
    names = ["jump", "sit", "run", "fall", "wave"]
    for strip, (layer, head) in zip(drawn, asked, strict=True):
        of_layer = weights[layer - 1]
        expected = of_layer.mean(0) if head == "mean" else of_layer[int(head) - 1]
        np.testing.assert_allclose(strip.weights, expected, atol=1e-5)
        # Of 12 frames the middles of three parts, 2, 6 and 10; the file's numbers are painted into it.
        assert read_numbers(strip.frames) == wanted[[2, 6, 10]].tolist()
        np.testing.assert_allclose(strip.seconds, wanted / 25)
        heads = "mean of heads" if head == "mean" else f"head {head}"
        said = f"3.mp4: predicted {names[scores.argmax()]} ({scores.max():.2f}) by mine; "
        assert strip.caption == f"{said}learned attention, layer {layer}, {heads}"
        assert strip.action_seconds is None
    assert capsys.readouterr().out.endswith(f"attention in 1 of 1 videos: {tmp_path}/mine/attention.png\n")
    assert (tmp_path / "mine" / "attention.png").stat().st_size > 1000


def test_learned_and_uniform_attention_of_two_runs(run, drawn, data_dir, tmp_path):
    (learned, _), (uniform, path) = run("learned"), run("uniform", "VTN.ATTENTION", "uniform")
    videos = [str(data_dir / "1.mp4"), str(data_dir / "2.mp4")]
    line = [
        "--cfg",
        learned,
        "--cfg",
        uniform,
        *videos,
        "--out",
        str(tmp_path / "a.png"),
        "--frames",
        "2",
        "LOG_PERIOD",
        "2",
    ]
    assert draw_attention([*line, "--layer", "all"]) == 0
    told = [strip.caption.split(" by ") for strip in drawn]
    assert [video.split(":")[0] for video, _ in told] == ["1.mp4"] * 4 + ["2.mp4"] * 4
    of_video = [
        f"{kind}; {kind} attention, layer {layer}, mean of heads"
        for kind in ("learned", "uniform")
        for layer in (1, 2)
    ]
    assert [what for _, what in told] == 2 * of_video
    for strip in drawn:
        flat = np.ptp(strip.weights) < 1e-6
        assert flat == ("uniform attention" in strip.caption)
    with pytest.raises(
        InputError, match=r"was trained with VTN\.ATTENTION uniform, and the configuration says"
    ):
        draw_attention(["--cfg", learned, "--checkpoint", path, *videos])


def test_a_video_that_cannot_be_read_is_named_and_the_others_are_drawn(
    run, drawn, data_dir, capsys, tmp_path
):
    config, _ = run("mine")
    (tmp_path / "TEXT.MP4").write_text("no video")
    bad = [str(tmp_path / "TEXT.MP4"), "GONE.MP4"]
    assert draw_attention(["--cfg", config, bad[0], str(data_dir / "0.mp4"), bad[1]]) == 1
    out, err = capsys.readouterr()
    assert [strip.caption.split(":")[0] for strip in drawn] == ["0.mp4"]
    assert f"not drawn: {bad[0]} " in err
    assert "not drawn: GONE.MP4 " in err
    assert "attention in 1 of 3 videos" in out
    with pytest.raises(InputError, match="none of the 2 videos could be read"):
        draw_attention(["--cfg", config, *bad])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "there is no video to draw: name one or more files after --cfg FILE"),
        (["VTN.ATTENTION", "uniform"], "there is no video to draw"),
        (
            ["a.mp4", "--layer", "3"],
            "--layer is 3: mine has layers 1 to 2; or type --layer all",
        ),
        (["a.mp4", "--layer", "0"], "--layer is 0"),
        (["a.mp4", "--head", "5"], "--head is 5: mine has heads 1 to 4; or type --head mean"),
        (["a.mp4", "--frames", "0"], "--frames is 0: it must be at least 1"),
        (["a.mp4", "MODEL.MODEL_NAME", "ResNet", "MODEL.ARCH", "i3d"], "only a VTN has a CLS token whose"),
        pytest.param(
            ["a.mp4", "VTN.SEQUENCE_ENCODER", "bert"],
            "such an encoder does not return its attention",
            marks=pytest.mark.slow,
        ),
        (["a.mp4", "--checkpoint", "gone.pyth"], "There is no checkpoint file gone.pyth"),
        (
            ["a.mp4", "--checkpoint", "x", "--checkpoint", "y"],
            "there are 2 --checkpoint and 1 --cfg: give one",
        ),
        (["a.mp4", "OUTPUT_DIR", "elsewhere"], "OUTPUT_DIR 'elsewhere' holds no checkpoint; name one with"),
        (["a.mp4", "VTN.NUM_HIDDEN_LAYERS", "1"], "is of another model, which differs in temporal layers"),
        (["a.mp4", "--opts", "NUM_CLASSES", "1"], "NUM_CLASSES .* is not a key of this configuration"),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, run, monkeypatch, tmp_path):
    config, _ = run("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=sentence):
        draw_attention(["--cfg", config, *words])
