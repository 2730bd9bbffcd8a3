"""One video file, opened once and read by frame number."""

from collections.abc import Sequence
from pathlib import Path

import torch

from slowfast_ext.video.decoding import MissingFrames, read_frames, repair_video
from slowfast_ext.video.opening import Damage
from slowfast_ext.video.probing import VideoInfo, probe_video
from vtn.errors import InputError


class VideoReader:
    """Frames of a video file by their number, as far as the file is whole.

        reader = VideoReader("video.mp4")
        frames = reader.read(full_video_frame_indices(reader.num_frames, num_frames=250))

    Args:
        path: The file.

    Attributes:
        path: The file.
        info: What is known of it. Reading a damaged file adds to it.

    Raises:
        VideoError: If the file is no video or nothing of it can be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.info: VideoInfo = probe_video(path)
        self._damage = Damage()

    @property
    def num_frames(self) -> int:
        """Frames of the video, V."""
        return self.info.num_frames

    @property
    def fps(self) -> float:
        """Average rate, frames per second."""
        return self.info.fps

    @property
    def missing(self) -> str:
        """What the file is known to lack, in words; empty if nothing. Reading finds out more."""
        return self.info.missing_with(self._damage)

    def shown(self, frame_indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """Turn frame numbers into those that `read` gives: the frame on the screen at that time.

        The two differ where the rate varies or frames are lost. This is what a model is to be told.

        Args:
            frame_indices: Frame numbers in [0, num_frames), chosen as if frames were evenly spaced.

        Returns:
            Same length, int64.

        Raises:
            InputError: If there are none, or one is not a number of the video.
        """
        wanted = torch.as_tensor(frame_indices, dtype=torch.int64)
        if not wanted.numel():
            raise InputError(f"frame_indices for {self.path} is empty.")
        for number in (int(wanted.min()), int(wanted.max())):
            if not 0 <= number < self.num_frames:
                raise InputError(
                    f"frame_indices has {number}, but {self.path} has frames 0 to {self.num_frames - 1}."
                )
        return self.info.shown_at(wanted)

    def read(self, frame_indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """Decode frames, each distinct one once.

        Args:
            frame_indices: As for `shown`, in any order, repeats allowed.

        Returns:
            (n, H, W, 3) uint8 RGB, the right way up, in the order of frame_indices. In place of a frame that
            cannot be decoded comes the one before it, as on a screen; `missing` then says so.

        Raises:
            InputError: As for `shown`.
            VideoError: If the file cannot be read.
        """
        try:
            return read_frames(self.path, self.shown(frame_indices).tolist(), self.info, self._damage)
        except MissingFrames:
            self.info = repair_video(self.path, self.info)
            last = torch.tensor(self.num_frames - 1)
            kept = torch.as_tensor(frame_indices, dtype=torch.int64).minimum(last)
            return read_frames(self.path, self.shown(kept).tolist(), self.info, self._damage)
