"""What a core takes for one video of 10 s, whatever is done with it: CPU seconds of one process.

    python benchmarks/video_costs.py      # two minutes

Checks and copies are those of tools/prepare_dataset.py, means over ten videos of 340x256 and two of 1280x720,
as originals come. What a prediction costs is in benchmarks/explain.py.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from common import check_out, cpu_seconds, write_record
from loader_videos import SECONDS, make_videos, real_clip, write

from slowfast_ext.cli import run_safely
from slowfast_ext.prepare.process import Work, process_video
from slowfast_ext.prepare.reencode import reencode_video
from slowfast_ext.video import VideoReader
from slowfast_ext.video.decoding import probe_video, read_frames
from slowfast_ext.video.transforms import scale_frames

_LARGE = (720, 1280)


def large_videos(folder: Path) -> list[Path]:
    """Two videos of 1280x720, 25 frames per second."""
    source = real_clip("bikes.mp4")
    frames = read_frames(source, range(probe_video(source).num_frames))[: SECONDS * 25, :, :484]
    pictures = scale_frames(frames, *_LARGE).numpy()
    return [write(folder / "large0.mp4", pictures, 25), write(folder / "large1.mp4", pictures[::-1], 25)]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/video_costs.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    torch.set_num_threads(1)
    rows = []

    def measure(what: str, videos: Sequence[Path], work: Callable[[Path], object]) -> None:
        work(videos[0])  # warms up
        seconds = cpu_seconds(lambda: [work(video) for video in videos]) / len(videos)
        row = {"what": what, "against": "", "ours": seconds, "theirs": None, "ratio": None}
        rows.append(row | {"unit": "CPU s per video", "better": "lower", "target": None})

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        small, large = make_videos(folder, 10), large_videos(folder)
        for size, videos in (("340x256", small), ("1280x720", large)):
            for verify in ("quick", "full"):
                work = Work(verify=verify)
                measure(f"verify {verify}, {size}", videos, lambda path, work=work: process_video(path, work))
        copy = folder / "copy.mp4"
        measure(
            "copy with a short side of 256, 1280x720",
            large,
            lambda path: reencode_video(VideoReader(path), copy, short_side=256, crf=20),
        )
    write_record(args.out, rows, argv, "torch", "timm", "av")


if __name__ == "__main__":
    run_safely(main)
