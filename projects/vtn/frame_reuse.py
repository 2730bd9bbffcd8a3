"""Which frames hardly differ from one before them, so that its features can stand for theirs.

Shape legend: N frames, n of them in a part, H and W their height and width in pixels.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

import torch

from .errors import InputError


def check_reuse_frames(reuse_frames: float) -> None:
    """Raise InputError unless the threshold is a number from 0 to 1."""
    number = isinstance(reuse_frames, (int, float)) and not isinstance(reuse_frames, bool)
    if not number or not 0.0 <= reuse_frames <= 1.0:
        raise InputError(
            f"reuse_frames must be a number from 0 to 1, the range of pixels, not {reuse_frames!r}.",
            arguments=("reuse_frames",),
        )


class FrameReuse:
    """Compares each frame with the last one that was to be encoded, so that slow change adds up and counts.

    Which frames are encoded is decided by their pixels. So a GPU is waited for, once for each part.

    Args:
        threshold: Mean absolute difference, over all pixels and the three channels, up to which a frame
            counts as unchanged. Pixels are from 0 to 1: 0.01 is 2.55 of 255 grey levels.
        std: What pixels in [0, 1] were divided by, channel by channel; None if that is not known: frames are
            then compared as they are.
        counts: Where frames are counted: "compared", all of them, and "encoded", those that had changed.
    """

    def __init__(self, threshold: float, std: tuple[float, ...] | None, counts: Counter) -> None:
        self.threshold, self.std, self.counts = threshold, std, counts

    def changed(
        self, parts: Iterable[torch.Tensor], begins: Iterable[int]
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Go through frames and say which must be encoded.

        Args:
            parts: Consecutive parts (n, 3, H, W) of N normalised frames; one is fetched after the other.
            begins: Numbers of the frames with which videos begin. They are compared with none.

        Yields:
            Each part with a bool tensor (n,), True for the frames to encode.
        """
        begins, number, encoded = set(begins), 0, None
        for part in parts:
            scale = torch.tensor(self.std or (1.0,) * 3, device=part.device)
            found = []
            for frame in part:
                if number in begins or encoded is None:
                    encoded, is_new = frame, torch.ones((), dtype=torch.bool, device=part.device)
                else:
                    difference = (frame - encoded).abs().mean((1, 2), dtype=torch.float32)
                    is_new = (difference * scale).mean() > self.threshold
                    encoded = torch.where(is_new, frame, encoded)  # no value is read: a GPU need not wait
                found.append(is_new)
                number += 1
            new = torch.stack(found)
            self.counts.update(compared=len(new), encoded=int(new.sum()))
            yield part, new
