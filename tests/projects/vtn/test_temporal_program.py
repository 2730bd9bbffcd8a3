"""The graph of the temporal part against `classify`, its band against a loop, and what has no graph."""

import pytest
import torch

from vtn import VTN, InputError
from vtn.temporal_program import TemporalProgram, band, check_portable

LENGTHS = (1, 2, 16, 63, 64, 65, 128, 129, 250, 1000)
SETTINGS = {
    "three layers": {},
    "one layer": {"num_layers": 1},
    "uniform": {"attention": "uniform", "num_layers": 2},
    "windows": {"attention_window": [2, 80, 140]},
    "scale": {"position_overflow": "scale", "num_layers": 2},
    "none beyond": {"position_overflow": "none"},
    "fixed": {"position_embedding": "fixed"},
    "no positions": {"position_embedding": "none"},
}


def sharp(**settings) -> VTN:
    """A small model whose answers depend on everything."""
    sizes = {"num_heads": 4, "ffn_dim": 64, "mlp_dim": 32, "max_position_embeddings": 150}
    model = VTN("test_vit", 5, **{"img_size": 32} | sizes | settings).eval()
    for weight in model.parameters():
        if weight.ndim > 1:
            weight.data.mul_(2.5)
    return model


def inputs(model: VTN, length: int, videos: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Features, and numbers of frames that go beyond the table of positions."""
    return torch.randn(videos, length, model.embed_dim), (torch.arange(length) * 3).repeat(videos, 1)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_it_is_what_classify_gives(settings):
    model = sharp(**settings)
    program = TemporalProgram(model)
    with torch.no_grad():
        for length in LENGTHS:
            features, indices = inputs(model, length, videos=2)
            logits, scores = program(features, indices)
            wanted = model.classify(features, indices)
            torch.testing.assert_close(logits, wanted, rtol=0, atol=5e-6)
            torch.testing.assert_close(scores, wanted.softmax(1), rtol=0, atol=5e-6)


@pytest.mark.parametrize("settings", ["windows", "uniform", "scale"])
def test_one_trace_takes_any_number_of_videos_and_frames(settings):
    model = sharp(**SETTINGS[settings])
    sizes = {0: torch.export.Dim("videos", min=1), 1: torch.export.Dim("frames", min=1)}
    with torch.no_grad():
        traced = torch.export.export(
            TemporalProgram(model), inputs(model, 70, videos=2), dynamic_shapes=(sizes, sizes)
        ).module()
        for length in LENGTHS:
            for videos in (1, 3):
                features, indices = inputs(model, length, videos)
                found, _ = traced(features, indices)
                torch.testing.assert_close(found, model.classify(features, indices), rtol=0, atol=5e-6)


@pytest.mark.parametrize("reach", [1, 9, 40])
@pytest.mark.parametrize("num_frames", [1, 2, 63, 64, 65, 200])
def test_every_frame_sees_cls_and_its_neighbours_once(num_frames, reach):
    rows, columns, visible = band(num_frames, reach, torch.device("cpu"))
    assert rows.flatten()[:num_frames].tolist() == list(range(1, num_frames + 1))
    shown = columns[:, None].expand(visible.shape)
    for frame, sees, tokens in zip(
        range(num_frames), visible.flatten(0, 1), shown.flatten(0, 1), strict=False
    ):
        near = range(max(frame - reach, 0), min(frame + reach, num_frames - 1) + 1)
        assert sorted(tokens[sees].tolist()) == [0, *(other + 1 for other in near)]


def test_the_band_grows_linearly():
    sizes = [band(length, 16, torch.device("cpu"))[2].numel() for length in (10_000, 20_000)]
    assert sizes[1] / sizes[0] == pytest.approx(2, rel=0.01)


def test_what_has_no_graph_is_refused():
    with pytest.raises(InputError, match=r"^shuffle_frames cannot be exported") as error:
        check_portable(sharp(shuffle_frames=True))
    assert error.value.arguments == ("shuffle_frames",)
    with pytest.raises(InputError, match=r"^merge_tokens cannot be exported"):
        TemporalProgram(sharp(merge_tokens=1, img_size=64))
    other = VTN("test_vit", 5, img_size=32, num_heads=4, ffn_dim=64, sequence_encoder="bert")
    with pytest.raises(InputError, match=r"\(sequence_encoder\) cannot be exported"):
        check_portable(other)
