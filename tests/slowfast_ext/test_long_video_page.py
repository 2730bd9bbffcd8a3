"""The example of docs/long_videos.md that reads a file, run on a checkpoint and a video."""

import re

import pytest
import torch
from pages import blocks
from videos import make_video

import vtn

MODEL = {"backbone": "test_vit", "num_classes": 3, "num_layers": 1, "num_heads": 4, "img_size": 32}
RECIPE = {"num_frames": 4, "sampling_rate": 2, "target_fps": 25, "full_video_frames": 40}


@pytest.mark.parametrize("kind", ["Streaming", "CausalStreaming"])
def test_a_file(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = vtn.VTN(**MODEL).eval()
    mean, std = source.normalization
    recipe = vtn.Recipe(model=MODEL, mean=mean, std=std, short_side=40, crop_size=32, **RECIPE)
    (code,) = [code for code in blocks("docs/long_videos.md", "python") if "checkpoint=" in code]
    path = tmp_path / re.search(r'checkpoint="(.*?)"', code)[1]
    path.parent.mkdir(parents=True)
    torch.save({"epoch": 1, "model_state": source.state_dict(), "cfg": "", "vtn": recipe.to_entry()}, path)
    (tmp_path / "videos").mkdir()
    make_video(tmp_path / "videos/match.mp4", 31, fps=25, size=(64, 48))

    names: dict = {}
    exec(code.replace("vtn.Streaming", f"vtn.{kind}").replace("% 250", "% 10"), names)
    whole = names["to_clip"](names["video"].read(range(31)), recipe)
    with torch.no_grad():
        expected = source(whole)[0]
    assert names["stream"].num_pushed == 31
    torch.testing.assert_close(names["stream"].logits(), expected, rtol=0, atol=1e-5)
