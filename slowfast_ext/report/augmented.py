"""What a configuration's training does to a clip, one thing at a time, as rows of a picture.

What is drawn comes out of the data set and the step of a training itself.

Legend: T frames of a clip, C side of the crop, N videos.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fvcore.common.config import CfgNode
from matplotlib.figure import Figure

from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.loader import VideoLoader, VideoSampler
from slowfast_ext.engine.batch import Batch
from slowfast_ext.engine.mixing import Mixing
from slowfast_ext.report.attention import even_frames
from slowfast_ext.report.figures import INK, printable, save
from slowfast_ext.video import VideoReader
from vtn.errors import InputError

# Epochs whose operations are shown, because one draw may leave a clip as it is.
_DRAWS = 3
# Inches.
_WIDTH, _TITLE = 12.0, 0.3
_OFF = {"AUG.ENABLE": False, "AUG.NUM_SAMPLE": 1, "AUG.RE_SPLIT": False, "MIXUP.ENABLE": False}
_ON = {"AUG.ENABLE": True, "AUG.NUM_SAMPLE": 1, "AUG.RE_SPLIT": False, "MIXUP.ENABLE": False}


@dataclass(frozen=True)
class AugmentedRow:
    """One row of the picture.

    Attributes:
        title: What was done, in the configuration's keys.
        frames: (T, height, width, 3) uint8 RGB.
    """

    title: str
    frames: np.ndarray


def augmented_rows(cfg: CfgNode, videos: Sequence[str]) -> Iterator[AugmentedRow]:
    """What becomes of the first clip of the first video, in the first epoch unless the title says another.

    Args:
        cfg: Complete.
        videos: Files; the first one is mixed with the last one.

    Yields:
        The plain clip, then each thing that `cfg` switches on by itself, then all of them together.

    Raises:
        InputError: If a video cannot be read, or clips are to be mixed and there is only one video.
    """
    # A data set for VTN says which frames it shows; the pictures are those that any model gets.
    cfg = _changed(cfg, {"MODEL.MODEL_NAME": "VTN", "VTN.AUTHORS_PROTOCOL": False})
    aug, mixup, data = cfg.AUG, cfg.MIXUP, cfg.DATA
    mixes = mixup.ENABLE and mixup.PROB > 0
    if mixes and len(videos) < 2:
        raise InputError(
            "MIXUP.ENABLE is True: name two or more videos, of which the first is mixed with the last"
        )
    spatial = _first_batch(cfg, videos, _OFF)
    frame_indices = spatial.inputs[1][0]
    yield AugmentedRow(
        "the clip as it was decoded", VideoReader(videos[0]).read(frame_indices.tolist()).numpy()
    )
    flip = ", flip" if data.RANDOM_FLIP else ""
    scales = f"DATA.TRAIN_JITTER_SCALES {list(data.TRAIN_JITTER_SCALES)}"
    yield _row(cfg, f"scale, crop{flip}: {scales}, DATA.TRAIN_CROP_SIZE {data.TRAIN_CROP_SIZE}", spatial)
    if aug.ENABLE and (aug.AA_TYPE or aug.COLOR_JITTER):
        what = f"AUG.AA_TYPE {aug.AA_TYPE}" if aug.AA_TYPE else f"AUG.COLOR_JITTER {aug.COLOR_JITTER:g}"
        for epoch in range(_DRAWS):
            batch = _first_batch(cfg, videos, {**_ON, "AUG.RE_PROB": 0.0}, epoch=epoch)
            yield _row(cfg, f"{what}, epoch {epoch + 1}", batch)
    if aug.ENABLE and aug.RE_PROB:
        only = {**_ON, "AUG.AA_TYPE": "", "AUG.COLOR_JITTER": 0.0, "AUG.RE_PROB": 1.0}
        title = f"random erasing, of {aug.RE_PROB:.0%} of the clips: AUG.RE_MODE {aug.RE_MODE}"
        yield _row(cfg, title, _first_batch(cfg, videos, only))
    if mixes:
        yield from _mixed_rows(cfg, videos)
    if aug.ENABLE or mixup.ENABLE or aug.NUM_SAMPLE > 1:
        yield from _rows_of_all(cfg, videos)


def _mixed_rows(cfg: CfgNode, videos: Sequence[str]) -> Iterator[AugmentedRow]:
    mixup = cfg.MIXUP
    for name, key, other in (("mixup", "ALPHA", "CUTMIX_ALPHA"), ("cutmix", "CUTMIX_ALPHA", "ALPHA")):
        if mixup[key]:
            only = {**_OFF, "MIXUP.ENABLE": True, "MIXUP.PROB": 1.0, f"MIXUP.{other}": 0.0}
            batch = _first_batch(cfg, videos, only)
            yield _row(cfg, f"{name}, MIXUP.{key} {mixup[key]:g}: {_shares(batch)}", batch)


def _rows_of_all(cfg: CfgNode, videos: Sequence[str]) -> Iterator[AugmentedRow]:
    """Everything as a training does it, a row for each sample of the video."""
    batch, count = _first_batch(cfg, videos, {}), cfg.AUG.NUM_SAMPLE
    for sample in range(count):
        title = (
            "all together" if count == 1 else f"all together, sample {sample + 1} of AUG.NUM_SAMPLE {count}"
        )
        if batch.labels.ndim == 2:
            title += f": {_shares(batch, sample)}"
        yield _row(cfg, title, batch, sample)


def _shares(batch: Batch, clip: int = 0) -> str:
    """The two largest shares of a clip's label; each video is a class of its own."""
    shares, classes = batch.labels[clip].topk(2)
    return " + ".join(
        f"{share:.2f} of video {number + 1}"
        for share, number in zip(shares.tolist(), classes.tolist(), strict=True)
    )


def _first_batch(cfg: CfgNode, videos: Sequence[str], changes: dict, *, epoch: int = 0) -> Batch:
    """The clips of all videos in order, made an even number, as a training step gives them to its model.

    Their labels are not smoothed, so that these are the shares of the videos.
    """
    labels = {"MODEL.NUM_CLASSES": max(2, len(videos)), "MIXUP.LABEL_SMOOTH_VALUE": 0.0}
    cfg = _changed(cfg, {**changes, **labels})
    even = [*videos, *videos[-1:]] if len(videos) % 2 else videos
    dataset = Vtnkinetics(cfg, "train", even)
    dataset.labels = [videos.index(video) for video in even]
    dataset.set_epoch(epoch)
    sampler = VideoSampler(dataset, shuffle=False, seed=0)
    loader = VideoLoader(dataset, sampler, batch_size=len(even), train=True)
    for loaded in loader:
        return Mixing(cfg)(Batch(loaded, torch.device("cpu")), epoch, 0)
    raise InputError(f"there is no clip to draw of one of the videos: {loader.ledger.remarks(1)[0]}")


def _row(cfg: CfgNode, title: str, batch: Batch, clip: int = 0) -> AugmentedRow:
    """A row from clips as a model takes them: Frames or normalised tensors."""
    clips = batch.inputs[0]
    if not isinstance(clips, torch.Tensor):
        clips = clips.clips(cfg.DATA.MEAN, cfg.DATA.STD)
    mean, std = (torch.tensor(list(values))[:, None, None, None] for values in (cfg.DATA.MEAN, cfg.DATA.STD))
    pictures = (clips[clip] * std + mean).clamp(0, 1).mul(255).round().byte()
    return AugmentedRow(title, pictures.permute(1, 2, 3, 0).numpy())


def _changed(cfg: CfgNode, changes: dict) -> CfgNode:
    cfg = cfg.clone()
    cfg.defrost()
    for key, value in changes.items():
        section, name = key.split(".")
        cfg[section][name] = value
    return cfg


def plot_augmented(rows: Sequence[AugmentedRow], path: Path, *, shown: int) -> None:
    """Draw rows under each other, with `shown` frames of each, spread evenly over the clip.

    Raises:
        InputError: If the picture cannot be written.
    """
    step = _WIDTH / shown
    heights = [_TITLE + step * row.frames.shape[1] / row.frames.shape[2] for row in rows]
    total, top = sum(heights), 0.0
    figure = Figure(figsize=(_WIDTH, total))
    for row, height in zip(rows, heights, strict=True):
        text = printable(row.title, longest=150)
        figure.text(0, 1 - (top + _TITLE - 0.08) / total, text, fontsize=10, color=INK)
        for column, frame in enumerate(row.frames[even_frames(len(row.frames), shown)]):
            left, bottom = (column + 0.01) * step / _WIDTH, 1 - (top + height) / total
            axes = figure.add_axes((left, bottom, 0.98 * step / _WIDTH, (height - _TITLE) / total))
            axes.imshow(frame, aspect="auto")
            axes.set_axis_off()
        top += height
    save(figure, path)
