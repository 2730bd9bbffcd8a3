"""Videos and labels as PySlowFast's loops take them, for VTN and for the host's own models alike.

An item is (inputs, label, index, meta). Frame numbers count from the first frame of the video.

Legend: T frames of a clip, C side of the crop.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fvcore.common.config import CfgNode

from slowfast_ext.data import sampling
from slowfast_ext.data.decoding import VideoError, VideoInfo, probe_video, read_frames
from slowfast_ext.data.transforms import SpatialView, apply_view, random_view, uniform_view
from slowfast_ext.data.video_list import read_video_list
from vtn.errors import InputError

_MODES = ("train", "val", "test")
_CENTRE = 1
_ERROR_BYTES = 256


@dataclass(frozen=True)
class _Decoded:
    """Frames of one video that serve all its clips.

    Attributes:
        clips: For each clip, the frames to show and the numbers that the model is told, (T,) each.
        numbers: The distinct frames of all clips, rising, (n,).
        frames: Those frames, (n, H, W, 3) uint8.
    """

    clips: list[tuple[torch.Tensor, torch.Tensor]]
    numbers: torch.Tensor
    frames: torch.Tensor


class Vtnkinetics(torch.utils.data.Dataset):
    """Kinetics, or any list of video files, in the host's format: {mode}.csv in DATA.PATH_TO_DATA_DIR.

    train: one clip of each video at a random place, scaled, cropped and flipped at random.
    val:   the full video if TRAIN.EVAL_FULL_VIDEO, else the clip in the middle; centre crop.
    test:  the full video in TEST.NUM_SPATIAL_CROPS crops if TRAIN.EVAL_FULL_VIDEO, else
           TEST.NUM_ENSEMBLE_VIEWS clips times TEST.NUM_SPATIAL_CROPS crops (1 is the centre).

    In test mode item number video * num_views + clip * crops + crop is that view of that video; loaded in a
    row, all views of a video come from one decoding.

    A video that cannot be read is never replaced by another one. Its inputs are zeros, and the reason is in
    meta["error"], for `decode_error`.

    Args:
        cfg: The configuration, with the keys of PySlowFast main and of slowfast_ext/config.py.
        mode: "train", "val" or "test".

    Attributes:
        paths: File of each video.
        labels: Class of each video.
        num_videos: How many there are.
        num_views: Items for each of them.

    Raises:
        InputError: If the mode, the model's packing or anything in the list is wrong (see read_video_list).
    """

    def __init__(self, cfg: CfgNode, mode: str) -> None:
        if mode not in _MODES:
            raise InputError(f"mode is {mode!r}; it must be one of {', '.join(_MODES)}.")
        _require_packing(cfg)
        self.cfg, self.mode, self.epoch = cfg, mode, 0
        self.paths, self.labels = read_video_list(
            Path(cfg.DATA.PATH_TO_DATA_DIR) / f"{mode}.csv",
            num_classes=cfg.MODEL.NUM_CLASSES,
            separator=cfg.DATA.PATH_LABEL_SEPARATOR,
            path_prefix=cfg.DATA.PATH_PREFIX,
        )
        self._full_video = cfg.TRAIN.EVAL_FULL_VIDEO and mode != "train"
        self._num_frames = cfg.TRAIN.EVAL_NUM_FRAMES if self._full_video else cfg.DATA.NUM_FRAMES
        self._crop_size = cfg.DATA.TEST_CROP_SIZE if mode == "test" else cfg.DATA.TRAIN_CROP_SIZE
        # Starts of the clips of a video, and places of the crops in each; training draws both every time.
        self._starts, self._positions = [0.5], [_CENTRE]
        if mode == "test":
            num_clips = 1 if self._full_video else cfg.TEST.NUM_ENSEMBLE_VIEWS
            self._starts = sampling.multi_view_starts(num_clips)
            self._positions = [_CENTRE] if cfg.TEST.NUM_SPATIAL_CROPS == 1 else [0, 1, 2]
        self.num_videos = len(self.paths)
        self.num_views = len(self._starts) * len(self._positions)
        self._last_decoded: tuple[int, _Decoded] | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of training: they follow from RNG_SEED, the epoch and the item, only."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_videos * self.num_views

    def __getitem__(self, index: int) -> tuple[list[torch.Tensor], int, int, dict[str, torch.Tensor]]:
        """Load one view of one video.

        Returns:
            inputs: One tensor for each input of the model, see pack_inputs.
            label: Class of the video.
            index: As given.
            meta: {"error": (256,) uint8}, zeros if the video was read.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"item {index} of a data set of {len(self)}")  # ends a `for item in dataset`
        video, view = divmod(index, self.num_views)
        try:
            clip, frame_indices = self._load(video, view)
            error = ""
        except VideoError as reason:
            clip = torch.zeros((3, self._num_frames, self._crop_size, self._crop_size))
            frame_indices = torch.zeros(self._num_frames, dtype=torch.int64)
            error = str(reason)
        inputs = pack_inputs(self.cfg, clip, frame_indices)
        return inputs, self.labels[video], index, {"error": encode_error(error)}

    def _load(self, video: int, view: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Clip (3, T, C, C) and frame numbers (T,) of one view."""
        clip_index, position_index = divmod(view, len(self._positions))
        rng = None
        if self.mode == "train":
            rng = np.random.default_rng([self.cfg.RNG_SEED, self.epoch, video])
        decoded = self._decode(video, self._starts if rng is None else [rng.random()])
        shown, frame_indices = decoded.clips[clip_index]
        # A short video repeats frames: each is transformed once.
        distinct, repeats = shown.unique(return_inverse=True)
        frames = decoded.frames
        if len(distinct) < len(decoded.numbers):
            frames = frames[torch.searchsorted(decoded.numbers, distinct)]
        spatial_view = self._spatial_view(*frames.shape[1:3], self._positions[position_index], rng)
        clip = apply_view(frames, spatial_view, mean=self.cfg.DATA.MEAN, std=self.cfg.DATA.STD)
        return (clip if len(distinct) == len(shown) else clip[:, repeats]), frame_indices

    def _decode(self, video: int, starts: list[float]) -> _Decoded:
        """Decode the clips that begin at `starts`; where a video has several views, the last one is kept."""
        if self._last_decoded is not None and self._last_decoded[0] == video:
            return self._last_decoded[1]
        self._last_decoded = None  # before the next video is decoded, or there would be two in memory
        info = probe_video(self.paths[video])
        clips = [self._sample(info, start) for start in starts]
        numbers = torch.cat([shown for shown, _ in clips]).unique()
        decoded = _Decoded(clips, numbers, read_frames(self.paths[video], numbers.tolist(), info))
        if self.num_views > 1:
            self._last_decoded = (video, decoded)
        return decoded

    def _sample(self, info: VideoInfo, start: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames to show, and the numbers that the model is told, of the clip that begins at `start`."""
        data, authors = self.cfg.DATA, self.cfg.VTN.AUTHORS_PROTOCOL
        if self._full_video and authors:
            shown = sampling.authors_full_video_frame_indices(
                info.num_frames, info.fps, num_frames=self._num_frames, target_fps=data.TARGET_FPS
            )
            return shown, shown
        if self._full_video:
            shown = sampling.full_video_frame_indices(info.num_frames, num_frames=self._num_frames)
            return shown, shown
        timing = {
            "num_frames": self._num_frames,
            "sampling_rate": data.SAMPLING_RATE,
            "target_fps": data.TARGET_FPS,
            "start": start,
        }
        if authors:
            return sampling.authors_clip_frame_indices(info.num_frames, info.fps, **timing)
        shown = sampling.clip_frame_indices(info.num_frames, info.fps, **timing)
        return shown, shown

    def _spatial_view(
        self, height: int, width: int, position: int, rng: np.random.Generator | None
    ) -> SpatialView:
        """Where to look: at random with a generator, at one of the three places without."""
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


class Vtnmit(Vtnkinetics):
    """Moments in Time. The lists have the same format; the name is there for {TRAIN,TEST}.DATASET."""


def pack_inputs(cfg: CfgNode, clip: torch.Tensor, frame_indices: torch.Tensor) -> list[torch.Tensor]:
    """Give the model its inputs.

    Args:
        cfg: MODEL.MODEL_NAME and MODEL.ARCH decide.
        clip: Shape (3, T, C, C).
        frame_indices: Shape (T,), int64.

    Returns:
        [clip, frame_indices] for VTN; [clip] for a single pathway; [slow, fast] for SlowFast, where fast is
        the clip and slow has one in SLOWFAST.ALPHA of its frames, ceil(T / ALPHA) in all.

    Raises:
        InputError: If MODEL.ARCH is none of those.
    """
    _require_packing(cfg)
    if cfg.MODEL.MODEL_NAME == "VTN":
        return [clip, frame_indices]
    if cfg.MODEL.ARCH in cfg.MODEL.SINGLE_PATHWAY_ARCH:
        return [clip]
    return [clip[:, sampling.slow_pathway_indices(clip.shape[1], alpha=cfg.SLOWFAST.ALPHA)], clip]


def _require_packing(cfg: CfgNode) -> None:
    known = [*cfg.MODEL.SINGLE_PATHWAY_ARCH, *cfg.MODEL.MULTI_PATHWAY_ARCH]
    if cfg.MODEL.MODEL_NAME != "VTN" and cfg.MODEL.ARCH not in known:
        raise InputError(
            f"MODEL.ARCH is {cfg.MODEL.ARCH!r}; without VTN it must be one of {', '.join(known)}."
        )


def encode_error(message: str) -> torch.Tensor:
    """Put a sentence into a tensor of fixed size, so that it travels through the loader's collate function.

    Returns:
        Shape (256,), uint8, UTF-8, filled up with zeros. Of a longer sentence the end is kept, because the
        beginning is a path.
    """
    text = message.encode()
    if len(text) > _ERROR_BYTES:
        dots = "…".encode()
        text = dots + text[len(dots) - _ERROR_BYTES :].decode(errors="ignore").encode()
    code = torch.zeros(_ERROR_BYTES, dtype=torch.uint8)
    code[: len(text)] = torch.tensor(list(text), dtype=torch.uint8)
    return code


def decode_error(code: torch.Tensor) -> str:
    """The sentence that encode_error was given; empty if the video was read."""
    return bytes(code.tolist()).rstrip(b"\0").decode()
