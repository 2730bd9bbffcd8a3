"""From a decoded frame to a picture: size, colours and which way up.

Legend: H, W height and width of a picture.
"""

from collections.abc import Callable

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter

from slowfast_ext.video.probing import PictureShape

ToPicture = Callable[[av.VideoFrame], torch.Tensor | None]


def room_for_pictures(count: int, height: int, width: int) -> torch.Tensor:
    """(count, height, width, 3) uint8, with any content.

    NumPy asks the system for large pages and PyTorch does not: this is filled in a third of the time.
    """
    return torch.from_numpy(np.empty((count, height, width, 3), dtype=np.uint8))


class Converter:
    """Turns decoded frames into pictures, with one converter: `frame.to_ndarray("rgb24")` makes one each.

    Args:
        info: Of the video: what its pictures look like.
        upright: Whether pictures are turned as the file's rotation tag asks, so that they are the right way
            up; else they are as stored.
        size: Width and height that they are scaled to before they are turned, pixels; as stored if not given.
        interpolation: How they are scaled, by PyAV's names.
    """

    def __init__(
        self,
        info: PictureShape,
        *,
        upright: bool = True,
        size: tuple[int, int] | None = None,
        interpolation: str = "BILINEAR",
    ) -> None:
        self._reformatter = VideoReformatter()
        self._quarter_turns = info.rotation // 90 if upright else 0
        self._size, self._interpolation = size or info.stored_size, interpolation

    def __call__(self, frame: av.VideoFrame) -> torch.Tensor | None:
        """A picture, (H, W, 3) uint8 RGB; None of a frame that cannot be converted."""
        width, height = self._size
        try:
            rgb = self._reformatter.reformat(
                frame, width, height, "rgb24", interpolation=self._interpolation, threads=1
            )
        except Exception:  # a damaged header can ask for colours that there are none of
            return None
        plane = rgb.planes[0]
        # Lines are padded; a view of them saves the copy that `to_ndarray` makes.
        picture = torch.frombuffer(plane, dtype=torch.uint8).view(-1, plane.line_size)
        picture = picture[:height, : width * 3].unflatten(1, (width, 3))
        return picture.rot90(-self._quarter_turns) if self._quarter_turns else picture
