"""A hint for trainings whose clips are longer than most of their videos, which is nearly always a mistake."""

from collections.abc import Callable
from typing import Any

from fvcore.common.config import CfgNode

from slowfast_ext.data.frames import Frames
from slowfast_ext.host import get_host
from slowfast_ext.video.sampling import temporal_footprint

_ENOUGH = 64  # clips that tell


class ShortVideos:
    """A transform of batches that looks at the first clips, and warns once if most outlast their video.

    Args:
        cfg: Keys DATA.NUM_FRAMES, DATA.SAMPLING_RATE and DATA.TARGET_FPS.
        clips: Of an epoch, in this process.
        then: The transform that batches have after it.
    """

    def __init__(self, cfg: CfgNode, clips: int, then: Callable[[Any], Any] | None = None) -> None:
        self._data, self._enough, self._then = cfg.DATA, min(_ENOUGH, clips), then
        self._seen = self._short = 0

    def __call__(self, batch: Any) -> Any:
        """Look at a batch as a loader has it."""
        frames = batch[0][0]
        if self._seen < self._enough and isinstance(frames, Frames) and self._data.NUM_FRAMES > 2:
            # Such a clip repeats the last frame. Where pictures come too slowly, the first ones repeat too.
            same = frames.index[:, 1:] == frames.index[:, :-1]
            self._short += int((same[:, -1] & ~same[:, 0]).sum())
            self._seen += len(frames)
            if self._seen >= self._enough and 2 * self._short > self._seen:
                self._warn()
        return batch if self._then is None else self._then(batch)

    def _warn(self) -> None:
        names = ("NUM_FRAMES", "SAMPLING_RATE", "TARGET_FPS")
        frames, rate, fps = (self._data[name] for name in names)
        get_host().get_logger(__name__).warning(
            "%d of the first %d clips are longer than their video and repeat its last frame. A clip covers "
            "%.2f s: DATA.NUM_FRAMES %d x DATA.SAMPLING_RATE %d / DATA.TARGET_FPS %g. A smaller "
            "DATA.SAMPLING_RATE shortens it",
            self._short,
            self._seen,
            temporal_footprint(num_frames=frames, sampling_rate=rate, target_fps=fps),
            frames,
            rate,
            fps,
        )
