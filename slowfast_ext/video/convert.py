"""From a decoded frame to a picture: size, colours and which way up.

Legend: H, W height and width of a picture the right way up.
"""

import av
import torch
from av.video.reformatter import VideoReformatter

from slowfast_ext.video.probing import VideoInfo


class Converter:
    """Turns decoded frames into pictures, with one converter: `frame.to_ndarray("rgb24")` makes one each."""

    def __init__(self, info: VideoInfo) -> None:
        self._reformatter = VideoReformatter()
        self._quarter_turns = info.rotation // 90
        turned = self._quarter_turns % 2
        self._size = (info.height, info.width) if turned else (info.width, info.height)

    def __call__(self, frame: av.VideoFrame) -> torch.Tensor | None:
        """A picture, (H, W, 3) uint8 RGB, the right way up; None of a frame that cannot be converted."""
        width, height = self._size
        try:
            rgb = self._reformatter.reformat(frame, width=width, height=height, format="rgb24", threads=1)
        except Exception:  # a damaged header can ask for colours that there are none of
            return None
        plane = rgb.planes[0]
        # Lines are padded; a view of them saves the copy that `to_ndarray` makes.
        picture = torch.frombuffer(plane, dtype=torch.uint8).view(-1, plane.line_size)
        picture = picture[:height, : width * 3].unflatten(1, (width, 3))
        return picture.rot90(-self._quarter_turns) if self._quarter_turns else picture
