"""Real videos for benchmarks/scale_out.py: what each runner of tools/predict.py costs beside a plain loop."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from loader_videos import make_videos

from slowfast_ext.config import load_config
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.models import make_model
from slowfast_ext.predict import Predictor
from slowfast_ext.predict.command import predict

_CONFIG = "configs/Kinetics/VTN_ViT_B.yaml"
# A small VTN, so that reading and the model take times that are not too far from one another.
_KEYS = (
    *("VTN.BACKBONE", "vit_tiny_patch16_224", "VTN.PRETRAINED", "False", "NUM_GPUS", "0"),
    *("DATA.PATH_TO_DATA_DIR", "", "TRAIN.EVAL_NUM_FRAMES", "32"),
)
_DIFFERENT = 4
_SHOWN = ["--views", "full", "--batch-size", "1"]


def prepare(folder: Path, count: int) -> tuple[str, list[str]]:
    """A checkpoint with random weights, and videos of 10 s, 340x256: some that differ, and copies of them."""
    torch.set_num_threads(1)  # what follows is forked
    cfg = load_config(_CONFIG, [*_KEYS, "OUTPUT_DIR", str(folder)])
    torch.manual_seed(0)
    model = make_model(cfg)
    path = checkpoint.save_checkpoint(str(folder), model, get_host().construct_optimizer(model, cfg), 0, cfg)
    videos = folder / "videos"
    videos.mkdir()
    first = make_videos(videos, min(_DIFFERENT, count))
    copies = [videos / f"copy{number}.mp4" for number in range(count - len(first))]
    for number, copy in enumerate(copies):
        shutil.copy(first[number % len(first)], copy)
    return path, [str(name) for name in (*first, *copies)]


def loop(path: str, names: Sequence[str], out: Path) -> Callable[[], None]:
    """The plain loop: one model, one thread, one video after the other."""

    def run() -> None:
        torch.set_num_threads(1)
        predictor = Predictor(path, views="full", batch_size=1)
        with out.open("w") as file:
            for name in names:
                (found,) = predictor.predict_files([name], num_workers=0)
                file.write(json.dumps([found.path, found.scores.tolist()]) + "\n")
                file.flush()

    return run


def command(path: str, names: Sequence[str], out: Path, *runner: str) -> Callable[[], None]:
    """Commands of tools/predict.py."""
    return lambda: predict([path, *names, *_SHOWN, "--out", str(out), *runner])
