"""Videos and labels as PySlowFast's loops take them, for VTN and for the host's own models alike.

An item is (inputs, label, index, time, meta), as in PySlowFast main. Frame numbers count from the first
frame of the video.

Legend: T frames of a clip, C side of the crop, n distinct frames of all clips of a video, S samples of a
video in a batch of training.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fvcore.common.config import CfgNode
from torch.utils.data import get_worker_info

from slowfast_ext.data.frames import Frames
from slowfast_ext.data.ledger import FAILED, REPAIRED, USED, encode_outcome
from slowfast_ext.data.packing import require_packing
from slowfast_ext.data.shared_memory import MemoryBlock, allocate
from slowfast_ext.data.video_list import read_video_list
from slowfast_ext.distributed import num_processes
from slowfast_ext.processes import usable_cores
from slowfast_ext.video import VideoError, VideoReader, sampling
from slowfast_ext.video.augment import ClipAugmentation, Draw, seed_of
from slowfast_ext.video.probing import VideoInfo
from slowfast_ext.video.transforms import (
    SpatialView,
    crop_frames,
    random_view,
    scale_frames,
    take_view,
    uniform_view,
)
from vtn.errors import InputError

_MODES = ("train", "val", "test")
_CENTRE = 1


@dataclass(frozen=True)
class _Decoded:
    """Frames of one video that serve all its views.

    Attributes:
        clips: For each clip, the frames to show and the frame_indices that the model is given, (T,) each.
        views: For each place of the crop, where it is in `frames`.
        decoded_indices: The distinct frames of all clips, rising, (n,).
        frames: Those frames, (n, height, width, 3) uint8, scaled, and cropped if there is one view only. In
            training, cropped and augmented, those of all samples one after the other: (S n, C, C, 3).
        kept: The memory that the frames lie in, see shared_memory.py.
        missing: What the file lacks; empty if nothing.
    """

    clips: list[tuple[torch.Tensor, torch.Tensor]]
    views: list[SpatialView]
    decoded_indices: torch.Tensor
    frames: torch.Tensor
    kept: tuple[MemoryBlock, ...]
    missing: str


class Vtnkinetics(torch.utils.data.Dataset):
    """Kinetics, or any list of video files, in the host's format: {mode}.csv in DATA.PATH_TO_DATA_DIR.

    train: one clip of each video at a random place, scaled, cropped and flipped at random, then augmented if
           AUG.ENABLE; this as often as AUG.NUM_SAMPLE says, from one decoding. Erasing is done later, see
           slowfast_ext/data/dense.py.
    val:   the full video if TRAIN.EVAL_FULL_VIDEO, else the clip in the middle; centre crop.
    test:  the full video in TEST.NUM_SPATIAL_CROPS crops if TRAIN.EVAL_FULL_VIDEO, else
           TEST.NUM_ENSEMBLE_VIEWS clips times TEST.NUM_SPATIAL_CROPS crops (1 is the centre).

    In test mode item number video * num_views + clip * crops + crop is that view of that video; loaded in a
    row, all views of a video come from one decoding.

    A video that cannot be read is never replaced by another one. Its inputs are black, and meta says that it
    failed and why. If a video is damaged, the frames that can be decoded are used, and meta says what is
    missing.

    Args:
        cfg: The configuration, with the keys of PySlowFast main and of slowfast_ext/config.py.
        mode: "train", "val" or "test".
        videos: Files to read in place of those of the list; their label is 0.

    Attributes:
        paths: File of each video.
        labels: Class of each video.
        num_views: Items for each video.
        num_samples: Clips in each item, S. If there are several, all of an item has them as first dimension.
        num_videos: Items in all, as PySlowFast main counts them: its test divides them by the views.

    Raises:
        InputError: If the mode, the model's packing or anything in the list is wrong (see read_video_list).
    """

    reads_for_vtn = True  # so a loader of ours reads it, see slowfast_ext/config_limits.py
    whole_videos = False  # whether training looks at full videos too

    def __init__(self, cfg: CfgNode, mode: str, videos: Sequence[str] | None = None) -> None:
        if mode not in _MODES:
            raise InputError(f"mode is {mode!r}; it must be one of {', '.join(_MODES)}.")
        require_packing(cfg)
        self.cfg, self.mode, self.epoch = cfg, mode, 0
        if videos is None:
            self.paths, self.labels = read_video_list(
                Path(cfg.DATA.PATH_TO_DATA_DIR) / f"{mode}.csv",
                num_classes=cfg.MODEL.NUM_CLASSES,
                separator=cfg.DATA.PATH_LABEL_SEPARATOR,
                path_prefix=cfg.DATA.PATH_PREFIX,
            )
        else:
            self.paths, self.labels = list(videos), [0] * len(videos)
        train = mode == "train"
        self._full_video = self.whole_videos or (cfg.TRAIN.EVAL_FULL_VIDEO and not train)
        evaluated = cfg.TRAIN.EVAL_NUM_FRAMES if self._full_video else cfg.DATA.NUM_FRAMES
        self._num_frames = cfg.DATA.NUM_FRAMES if train else evaluated
        self._crop_size = cfg.DATA.TEST_CROP_SIZE if mode == "test" else cfg.DATA.TRAIN_CROP_SIZE
        # What finds segments is told times; what only classifies, which frames it sees.
        self._counts_time = self.whole_videos or cfg.VTN.LOCALIZATION_SCALES > 0
        self.num_samples = cfg.AUG.NUM_SAMPLE if mode == "train" else 1
        self._augment = _augmentation(cfg) if mode == "train" else None
        # Starts of the clips of a video, and places of the crops in each; training draws both every time.
        self._starts, self._positions = [0.5], [_CENTRE]
        if mode == "test":
            num_clips = 1 if self._full_video else cfg.TEST.NUM_ENSEMBLE_VIEWS
            self._starts = sampling.multi_view_starts(num_clips)
            self._positions = [_CENTRE] if cfg.TEST.NUM_SPATIAL_CROPS == 1 else [0, 1, 2]
        self.num_views = len(self._starts) * len(self._positions)
        self.num_videos = len(self.paths) * self.num_views
        self._last_decoded: tuple[int, _Decoded] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of training, which depend on RNG_SEED, the epoch and the item only."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_videos

    def __getitem__(
        self, index: int
    ) -> tuple[list[Frames | torch.Tensor], int, int, torch.Tensor, dict[str, torch.Tensor]]:
        """Load one view of one video.

        Returns:
            inputs: [frames] or, for VTN, [frames, frame_indices (T,)]; see Frames.
            label: Class of the video.
            index: As given.
            time: (1, 3), the first and the last frame of the view, and 0.
            meta: See encode_outcome.
            With S samples Frames hold S clips, and all others are tensors with S as first dimension.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of a data set of {len(self)}")  # ends a `for item in dataset`
        video, view = divmod(index, self.num_views)
        try:
            frames, frame_indices, missing = self._load(video, view)
            meta = encode_outcome(USED)
            if missing:
                meta = encode_outcome(REPAIRED, f"{self.paths[video]}: {missing}.")
        except VideoError as error:
            frame_indices = torch.zeros(self._num_frames, dtype=torch.int64)
            frames, meta = self._nothing(), encode_outcome(FAILED, str(error))
        inputs = [frames, frame_indices] if self.cfg.MODEL.MODEL_NAME == "VTN" else [frames]
        time = torch.tensor([[frame_indices.min(), frame_indices.max(), 0]], dtype=torch.float64)
        item = inputs, self.labels[video], index, time, meta
        return item if self.num_samples == 1 else _for_each_sample(item, self.num_samples)

    def _load(self, video: int, view: int) -> tuple[Frames, torch.Tensor, str]:
        """Frames of one view, or of all samples, their frame_indices (T,), and what the file lacks."""
        clip_index, position_index = divmod(view, len(self._positions))
        decoded = self._decode(video)
        frames_to_show, frame_indices = decoded.clips[clip_index]
        distinct, index = frames_to_show.unique(return_inverse=True)
        pixels = crop_frames(decoded.frames, decoded.views[position_index])
        if len(distinct) < len(decoded.decoded_indices):
            pixels = pixels[torch.searchsorted(decoded.decoded_indices, distinct)]
        shown = index + len(distinct) * torch.arange(self.num_samples)[:, None]
        return Frames((pixels,), shown, decoded.kept), frame_indices, decoded.missing

    def _nothing(self) -> Frames:
        """In place of the frames of a video that cannot be read: black."""
        black = torch.zeros((1, self._crop_size, self._crop_size, 3), dtype=torch.uint8)
        return Frames((black,), torch.zeros((self.num_samples, self._num_frames), dtype=torch.int64))

    def _draw(self, video: int) -> tuple[np.random.Generator | None, list[float]]:
        """The random numbers of a video, in training, and where its clips begin."""
        if self.mode != "train":
            return None, self._starts
        rng = np.random.default_rng([self.cfg.RNG_SEED, self.epoch, video])
        return rng, [rng.random()]

    def _decode(self, video: int) -> _Decoded:
        """Decode all clips of a video; if it has several views, the result is kept for the next item."""
        if self._last_decoded is not None and self._last_decoded[0] == video:
            return self._last_decoded[1]
        self._last_decoded = None  # before the next video is decoded, or there would be two in memory
        reader = VideoReader(self.paths[video], two_threads=_has_spare_cores(self.cfg))
        decoded = reader.with_repair(lambda: self._read(video, reader))
        if self.num_views > 1:
            self._last_decoded = (video, decoded)
        return decoded

    def _read(self, video: int, reader: VideoReader) -> _Decoded:
        """Decode the frames that the clips need, each once, and scale them as they come."""
        rng, starts = self._draw(video)
        clips = [self._sample(reader.info, start) for start in starts]
        decoded_indices = torch.cat([frames_to_show for frames_to_show, _ in clips]).unique()
        slots = {index: slot for slot, index in enumerate(decoded_indices.tolist())}
        frames, views, kept = None, [], ()
        positions = self._positions * self.num_samples
        # With a single view, and of the samples of training, only the squares are kept.
        cropped, count = len(positions) == 1 or self.mode == "train", len(slots)
        for index, picture in reader.decode(list(slots)):
            if frames is None:
                height, width = picture.shape[0], picture.shape[1] * reader.info.pixel_aspect
                views = [self._spatial_view(height, width, position, rng) for position in positions]
                shape = (views[0].height, views[0].width)
                if cropped:
                    frames, kept = allocate((len(views) * count, self._crop_size, self._crop_size, 3))
                else:
                    frames = torch.empty((count, *shape, 3), dtype=torch.uint8)
            picture = picture[None]
            if cropped:
                for begin, view in zip(range(0, len(frames), count), views, strict=True):
                    frames[begin + slots[index]] = take_view(picture, view)[0]
            else:
                frames[slots[index]] = scale_frames(picture, *shape)[0]
        if self._augment:
            for sample, clip in enumerate(frames.split(count)):
                self._augment(clip, seed_of(Draw.OPERATIONS, self.cfg.RNG_SEED, self.epoch, video, sample))
        if cropped:
            views = [SpatialView(self._crop_size, self._crop_size, 0, 0, self._crop_size)]
        return _Decoded(clips, views, decoded_indices, frames, kept, reader.missing)

    def _sample(self, info: VideoInfo, start: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames to show, and frame_indices for the model, of the clip that begins at `start`, (T,) each."""
        data, authors = self.cfg.DATA, self.cfg.VTN.AUTHORS_PROTOCOL
        timing = {
            "num_frames": self._num_frames,
            "sampling_rate": data.SAMPLING_RATE,
            "target_fps": data.TARGET_FPS,
            "start": start,
        }
        if authors and not self._full_video:
            chosen, frame_indices = sampling.authors_clip_frame_indices(info.num_frames, info.fps, **timing)
            return info.on_screen(chosen), frame_indices
        if authors:
            chosen = sampling.authors_full_video_frame_indices(
                info.num_frames, info.fps, num_frames=self._num_frames, target_fps=data.TARGET_FPS
            )
        elif self._full_video:
            chosen = sampling.full_video_frame_indices(info.num_frames, num_frames=self._num_frames)
        else:
            chosen = sampling.clip_frame_indices(info.num_frames, info.fps, **timing)
        shown = info.on_screen(chosen)
        return shown, chosen if self._counts_time else shown

    def _spatial_view(
        self, height: float, width: float, position: int, rng: np.random.Generator | None
    ) -> SpatialView:
        """Where to look: at random if there is a generator, else at one of the three places."""
        data = self.cfg.DATA
        if rng is None:
            return uniform_view(
                height,
                width,
                short_side=data.TRAIN_JITTER_SCALES[0],
                crop_size=self._crop_size,
                position=position,
            )
        return random_view(
            height,
            width,
            short_sides=data.TRAIN_JITTER_SCALES,
            crop_size=self._crop_size,
            flip=data.RANDOM_FLIP,
            rng=rng,
        )


def _has_spare_cores(cfg: CfgNode) -> bool:
    """Whether this process may use more cores than there are processes that read videos."""
    worker = get_worker_info()
    readers = num_processes(cfg) * (worker.num_workers if worker else 1)
    return readers < usable_cores()


def _augmentation(cfg: CfgNode) -> ClipAugmentation | None:
    """What AUG asks for in the worker, None if nothing."""
    aug = cfg.AUG
    if not (aug.ENABLE and (aug.AA_TYPE or aug.COLOR_JITTER)):
        return None
    return ClipAugmentation(aug.AA_TYPE, aug.INTERPOLATION, aug.COLOR_JITTER, cfg.DATA.TRAIN_CROP_SIZE)


def _for_each_sample(item: tuple, count: int) -> tuple:
    """An item of `count` samples: Frames hold as many clips already, the rest is the same for each."""

    def repeated(value: torch.Tensor | int) -> torch.Tensor:
        value = torch.as_tensor(value)
        return value.expand(count, *value.shape)

    inputs, label, index, time, meta = item
    inputs = [value if isinstance(value, Frames) else repeated(value) for value in inputs]
    meta = {name: repeated(value) for name, value in meta.items()}
    return inputs, repeated(label), repeated(index), repeated(time), meta


class Vtnmit(Vtnkinetics):
    """Moments in Time. The lists have the same format; the name is there for {TRAIN,TEST}.DATASET."""
