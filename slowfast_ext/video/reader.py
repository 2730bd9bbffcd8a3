"""One video file, probed once and read by frame number; where frames of it are missing, without those."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch

from slowfast_ext.video.convert import ToPicture
from slowfast_ext.video.decoding import MissingFrames, decode_frames, read_frames, repair_video
from slowfast_ext.video.file import VideoFile, VideoLike
from slowfast_ext.video.opening import Damage, memory_told
from slowfast_ext.video.probing import VideoInfo, probe_video
from vtn.errors import InputError

T = TypeVar("T")


class VideoReader:
    """Frames of a video file by their number.

        reader = VideoReader("video.mp4")
        frames = reader.read(full_video_frame_indices(reader.num_frames, num_frames=250))

    A damaged file may list frames that cannot be decoded, and only decoding shows it. `read` then gives the
    frame before. Whoever decodes frames one by one, with `decode`, does so in a function that `with_repair`
    calls.

    Args:
        video: The file: its path, or a file object as VideoFile takes it.
        two_threads: Whether `decode` uses two: for whoever has a core to spare.

    Attributes:
        video: The file.
        info: What is known of it. Reading a damaged file adds to it.

    Raises:
        VideoError: If the file is no video or nothing of it can be decoded.
    """

    def __init__(self, video: VideoLike, *, two_threads: bool = False) -> None:
        self.video = VideoFile.of(video)
        self.info: VideoInfo = probe_video(self.video)
        self._damage, self._two_threads = Damage(), two_threads

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

    def on_screen(self, frame_indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """Turn frame numbers into those of the frames that `read` gives: what is on the screen at that time.

        The two differ where the rate varies or frames are lost. A model is given these as its frame_indices.

        Args:
            frame_indices: Frame numbers in [0, num_frames), chosen as if frames were evenly spaced.

        Returns:
            Same length, int64.

        Raises:
            InputError: If there are none, or one is not a number of the video.
        """
        wanted = torch.as_tensor(frame_indices, dtype=torch.int64)
        if not wanted.numel():
            raise InputError(f"frame_indices for {self.video} is empty.")
        for number in (int(wanted.min()), int(wanted.max())):
            if not 0 <= number < self.num_frames:
                raise InputError(
                    f"frame_indices has {number}, but {self.video} has frames 0 to {self.num_frames - 1}."
                )
        return self.info.on_screen(wanted)

    def read(self, frame_indices: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """Decode frames, each distinct one once.

        Args:
            frame_indices: As for `on_screen`, in any order, repeats allowed.

        Returns:
            (n, H, W, 3) uint8 RGB, the right way up, in the order of frame_indices. In place of a frame that
            cannot be decoded comes the one before it, as on a screen; `missing` then says so.

        Raises:
            InputError: As for `on_screen`.
            VideoError: If the file cannot be read.
        """
        self.on_screen(frame_indices)  # says what is wrong with them before any is taken for a lost one
        wanted = torch.as_tensor(frame_indices, dtype=torch.int64)

        def read() -> torch.Tensor:
            there = wanted.clamp(max=self.num_frames - 1)  # a repair cuts off frames that are lost at the end
            return read_frames(self.video, self.on_screen(there).tolist(), self.info, self._damage)

        return self.with_repair(read)

    def decode(
        self, frame_indices: Sequence[int], to_picture: ToPicture | None = None
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Decode frames one by one, each once, in rising order unless the file forbids it.

        Args:
            frame_indices: Frame numbers in [0, num_frames), rising, distinct: those that `on_screen` gives.
            to_picture: As for decode_frames.

        Yields:
            The number, and the picture, (H, W, 3) uint8, RGB. The picture is the caller's until the next one
            is asked for; it need not be contiguous.

        Raises:
            VideoError: If the file cannot be read.
            MissingFrames: After all others, if a frame cannot be decoded: `with_repair` sees to it.
        """
        given = self.video, frame_indices, self.info, self._damage, to_picture
        return decode_frames(*given, two_threads=self._two_threads)

    def with_repair(self, work: Callable[[], T]) -> T:
        """Do work that decodes frames; if some turn out to be missing, do it again without them.

        Args:
            work: Chooses frames by `num_frames`, `info` and `on_screen` and decodes them. If a frame that the
                file lists cannot be decoded, it is called again, and these then say what can be.

        Returns:
            What the work returns.

        Raises:
            VideoError: If the file cannot be read, or nothing of it can be decoded.
        """
        with memory_told(self.video):
            try:
                return work()
            except MissingFrames:
                self._repair()
                return work()

    def verify(self) -> None:
        """Decode every frame as training does; `info` and `missing` then say all that can be known."""
        try:
            for _ in self.decode(self.info.decodable):
                pass
        except MissingFrames:
            self._repair()

    def _repair(self) -> None:
        self.info = repair_video(self.video, self.info)
