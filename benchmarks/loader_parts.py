"""Parts of benchmarks/loader.py: decoding against torchcodec, and where the time of a full video goes."""

import importlib.util
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from common import in_turn, ratio, seconds_per_video
from loader_videos import decode_only

from slowfast_ext.data.shared_memory import allocate_shared
from slowfast_ext.video.decoding import decode_frames, probe_video
from slowfast_ext.video.sampling import clip_frame_indices, full_video_frame_indices
from slowfast_ext.video.transforms import take_view, uniform_view


def against_torchcodec(videos: list[Path]) -> list[dict]:
    """The same frames from torchcodec, if it is installed, including the time to open and to seek."""
    if importlib.util.find_spec("torchcodec") is None:
        print("torchcodec is not installed: its rows are left out")
        return []
    try:
        from torchcodec.decoders import VideoDecoder
    except (ImportError, OSError, RuntimeError) as error:
        print(f"torchcodec cannot be used, its rows are left out: {' '.join(str(error).split())[:200]}")
        return []

    def ours(choose: Callable[[int, float], torch.Tensor]) -> float:
        def read(path: Path) -> None:
            info = probe_video(path)
            for _ in decode_frames(path, choose(info.num_frames, info.fps).unique().tolist(), info):
                pass

        return seconds_per_video((read(path) for path in videos), len(videos))

    def theirs(choose: Callable[[int, float], torch.Tensor]) -> float:
        def read(path: Path) -> None:
            video = VideoDecoder(path, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact")
            meta = video.metadata
            for number in choose(meta.num_frames, meta.average_fps).unique().tolist():
                video[number]

        return seconds_per_video((read(path) for path in videos), len(videos))

    def clip(start: float) -> Callable[[int, float], torch.Tensor]:
        timing = {"num_frames": 16, "sampling_rate": 8, "target_fps": 25, "start": start}
        return lambda count, fps: clip_frame_indices(count, fps, **timing)

    rows = []
    for what, choose in (
        ("250 frames of 10 s", lambda count, fps: full_video_frame_indices(count, num_frames=250)),
        ("16 frames over 5.12 s, in the middle of 10 s", clip(0.5)),
        ("10 clips of 16 frames", lambda *a: torch.cat([clip(n / 10)(*a) for n in range(10)])),
    ):
        row = in_turn(partial(ours, choose), partial(theirs, choose))
        common = {"against": "torchcodec", "unit": "s per video", "better": "lower", "target": ""}
        rows.append({"what": f"decoding to RGB on one thread: {what}"} | common | row | ratio(row))
    return rows


def full_video_stages(videos: list[Path]) -> list[dict]:
    """CPU seconds for 250 frames of each video, in this process, adding one stage after another."""
    infos = {path: probe_video(path) for path in videos}
    wanted, view = {}, {}
    for path, info in infos.items():
        wanted[path] = full_video_frame_indices(info.num_frames, num_frames=250).unique().tolist()
        view[path] = uniform_view(info.height, info.width, short_side=256, crop_size=224, position=1)
    reused = torch.empty((250, 224, 224, 3), dtype=torch.uint8)

    def convert(path: Path) -> None:
        for _ in decode_frames(path, wanted[path], infos[path]):
            pass

    def cut_out(path: Path, into: Callable[[], torch.Tensor]) -> None:
        frames = into()
        for slot, (_, picture) in enumerate(decode_frames(path, wanted[path], infos[path])):
            frames[slot] = take_view(picture[None], view[path])[0]

    stages = {
        "libav decoding, no conversion": decode_only,
        "decoding and conversion to RGB": convert,
        "the same, and scaling and cropping into memory used before": lambda p: cut_out(p, lambda: reused),
        "the same, into fresh shared memory": lambda p: cut_out(
            p, lambda: allocate_shared((250, 224, 224, 3))
        ),
        "probing alone": probe_video,
    }
    seconds: dict[str, list[float]] = {stage: [] for stage in stages}
    for _ in range(9):
        for stage, work in stages.items():
            started = time.process_time()
            for path in videos:
                work(path)
            seconds[stage].append((time.process_time() - started) / len(videos))
    least = min(seconds["libav decoding, no conversion"])
    return [
        {
            "what": f"stages of a full video, least CPU time of nine: {stage}",
            "against": "libav decoding, no conversion",
            "ours": min(values),
            "theirs": least,
            "unit": "s per video",
            "ratio": min(values) / least,
            "better": "lower",
            "target": "",
            "spread": {"ours": [min(values), statistics.median(values), max(values)]},
        }
        for stage, values in seconds.items()
    ]
