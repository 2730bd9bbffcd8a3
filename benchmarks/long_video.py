"""One answer for a long video, every frame of it: does memory stay the same, does time grow with the length?

    python benchmarks/long_video.py [--minutes 1 10 60 120] [--modes chunked streaming stored]

The videos are a small one of ten seconds, repeated without encoding it again, at 25 frames per second. Each
mode and length is read, encoded and classified in a process of its own, whose peak of memory is that of the
whole process. The network is tiny and has random weights: what is measured is what grows beside it.

chunked: `distinct_frame_features` of parts of a video, then `classify`; all features are in memory.
streaming: `Streaming` of the same model, which has one temporal layer.
stored: `classify_stored` of a model with three, which gets the features while they are made.

At the end the approximation, `CausalStreaming`, is compared with the exact answer.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from common import check_out, forget_peak, in_new_process, peak_mib, ratio, resident_mib, write_record
from loader_videos import SECONDS, real_clip, repeat, write

import vtn
from slowfast_ext.cli import run_safely
from slowfast_ext.video import VideoReader
from slowfast_ext.video.decoding import read_frames
from slowfast_ext.video.transforms import normalize, scale_frames
from vtn.errors import InputError

_FPS, _SIZE, _PART = 25, 64, 64
_MODES = ("chunked", "streaming", "stored")
_LAYERS = {"chunked": 1, "streaming": 1, "stored": 3}


def make_videos(folder: Path, minutes: Sequence[float]) -> dict[float, Path]:
    """A video for each length, of 64 x 64 pixels."""
    frames = read_frames(real_clip("bikes.mp4"), range(SECONDS * _FPS))[:, :, :272]
    short = write(folder / "short.mp4", scale_frames(frames, _SIZE, _SIZE).contiguous().numpy(), _FPS)
    return {each: repeat(short, folder / f"{each:g}.mp4", seconds=60 * each) for each in minutes}


def make_model(num_layers: int, spread: float = 1.0) -> vtn.VTN:
    """With random weights of the temporal encoder `spread` times those that a training starts from."""
    torch.manual_seed(0)
    model = vtn.VTN(
        "test_vit", 10, num_layers=num_layers, num_heads=None, img_size=_SIZE, frames_per_chunk=_PART
    ).eval()
    with torch.no_grad():
        for name, parameter in model.temporal_encoder.named_parameters():
            if "norm" not in name:
                parameter.mul_(spread)
    return model


def parts_of(path: Path, model: vtn.VTN) -> Iterator[torch.Tensor]:
    """All frames, normalised, (n, 3, 64, 64) at a time."""
    reader, pictures = VideoReader(path), []
    for number, picture in reader.decode(range(reader.num_frames)):
        pictures.append(picture.clone())
        if len(pictures) == _PART or number == reader.num_frames - 1:
            yield normalize(torch.stack(pictures), *model.normalization)
            pictures = []


def answer(path: Path, mode: str, model: vtn.VTN) -> torch.Tensor:
    """Logits (K,) of a video."""
    parts = parts_of(path, model)
    if mode == "chunked":
        index = torch.arange(VideoReader(path).num_frames)[None]
        return model.classify(model.distinct_frame_features(parts, index))[0]
    if mode == "stored":
        features = (model.frame_features(part.transpose(0, 1)[None])[0] for part in parts)
        return vtn.classify_stored(model, features)
    stream = vtn.Streaming(model)
    for part in parts:
        stream.push(part)
    return stream.logits()


@torch.no_grad()
def measure(path: Path, warm: Path, mode: str) -> dict[str, float | list[float]]:
    """Seconds, peak MiB of the process, those of them that a warm process did not have before, logits."""
    model = make_model(_LAYERS[mode])
    answer(warm, mode, model)
    forget_peak()
    before, started, used = resident_mib(), time.perf_counter(), time.process_time()
    logits = answer(path, mode, model)
    seconds, used, peak = time.perf_counter() - started, time.process_time() - used, peak_mib()
    return {
        "seconds": seconds,
        "CPU_seconds": used,
        "MiB": peak,
        "more_MiB": peak - before,
        "logits": logits.tolist(),
    }


def rows_of(mode: str, found: dict[float, dict]) -> list[dict]:
    """Memory and time of each length, against those of the shortest."""
    shortest, rows = min(found), []
    for minutes, each in found.items():
        if minutes == shortest:
            continue
        common = {"better": "lower", "target": "<= 1.2"}
        sides = f"{mode}, {minutes:g} min", f"{mode}, {shortest:g} min"
        memory = {"what": f"{sides[0]}: peak memory", "against": sides[1], "unit": "MiB"}
        memory |= {"ours": each["MiB"], "theirs": found[shortest]["MiB"]}
        pace = {"what": f"{sides[0]}: time of a minute", "against": sides[1], "unit": "s"}
        pace |= {"ours": each["seconds"] / minutes, "theirs": found[shortest]["seconds"] / shortest}
        more = {"beside the warm process, MiB": [each["more_MiB"], found[shortest]["more_MiB"]]}
        used = found[shortest]["CPU_seconds"] / shortest
        busy = {"processor time of a minute, s": [each["CPU_seconds"] / minutes, used]}
        rows += [memory | ratio(memory) | common | more, pace | ratio(pace) | common | busy]
    return rows


@torch.no_grad()
def approximation_rows(path: Path) -> list[dict]:
    """How far CausalStreaming is from the exact logits, for weights of two spreads."""
    rows = []
    for spread in (1.0, 8.0):
        model = make_model(3, spread)
        parts = list(parts_of(path, model))
        features = torch.cat([model.frame_features(part.transpose(0, 1)[None])[0] for part in parts])
        stream = vtn.CausalStreaming(model)
        started = time.perf_counter()
        stream.push_features(features)
        seconds = time.perf_counter() - started
        exact = model.classify(features[None])[0]
        what = (
            f"CausalStreaming, 3 layers, {len(features):,} frames, weights x {spread:g}: mean error of logits"
        )
        row = {"what": what, "against": "how far the exact logits of the classes spread"}
        row |= {
            "ours": (stream.logits() - exact).abs().mean().item(),
            "theirs": exact.std().item(),
            "unit": "",
        }
        same = bool(stream.logits().argmax() == exact.argmax())
        extra = {"same class": same, "ms of a frame": 1000 * seconds / len(features)}
        rows.append(row | ratio(row) | {"better": "lower", "target": ""} | extra)
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the table, write it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--minutes", type=float, nargs="+", default=[1, 10, 60, 120])
    add("--modes", nargs="+", choices=_MODES, default=list(_MODES))
    add("--out", type=Path, default=Path(__file__).parent / "results" / "long_video.json")
    args = parser.parse_args(argv)
    if len(set(args.minutes)) < 2 or min(args.minutes) < SECONDS / 60:
        raise InputError(f"--minutes takes two lengths at least, none below {SECONDS} s.")
    check_out(args.out)
    rows, logits = [], {}
    with tempfile.TemporaryDirectory() as folder:
        videos = make_videos(Path(folder), sorted(set(args.minutes)))
        warm = Path(folder) / "short.mp4"
        for mode in args.modes:
            found = {}
            for minutes, path in videos.items():
                found[minutes] = in_new_process(measure, path, warm, mode)
                if found[minutes] is None:
                    raise InputError(f"{mode}, {minutes:g} min: memory ran out.")
                logits[mode, minutes] = torch.tensor(found[minutes]["logits"])
                names = ("seconds", "CPU_seconds", "MiB", "more_MiB")
                numbers = tuple(found[minutes][name] for name in names)
                text = "%.1f s (processor %.1f s), %.0f MiB, %.1f of them for it"
                print(f"{mode}, {minutes:g} min: {text % numbers}", flush=True)
            rows += rows_of(mode, found)
        rows += approximation_rows(min(videos.items())[1])
    if {"chunked", "streaming"} <= set(args.modes):
        apart = max((logits["chunked", m] - logits["streaming", m]).abs().max().item() for m in videos)
        print(f"largest difference of logits between chunked and streaming: {apart:.1e}")
    write_record(args.out, rows, argv, "torch", "timm", "av")


if __name__ == "__main__":
    run_safely(main)
