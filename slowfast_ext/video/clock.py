"""When the frames of a video that is read while it comes are shown."""

import av

# Times that go back by more than this, seconds, begin anew.
_BACK = 1.0
# Where no frame comes for so long, in seconds and in frames, some are taken for lost.
_JUMP, _JUMP_FRAMES = 0.4, 4
_FALLBACK_FPS = 25.0


class LiveClock:
    """When frames are shown, from 0, whatever the source's clock does.

    Attributes:
        backward: How often that clock went back.
        jumps: How often it jumped ahead.
    """

    def __init__(self, stream: av.VideoStream) -> None:
        self._unit = stream.time_base
        self._interval = 1 / float(stream.average_rate or stream.guessed_rate or _FALLBACK_FPS)
        self._origin: float | None = None
        self._last = -self._interval
        self.backward = self.jumps = 0

    def seconds(self, frame: av.VideoFrame) -> float:
        """Of the next frame."""
        expected = self._last + self._interval
        if frame.pts is None or not self._unit:
            self._last = expected
            return expected
        time = float(frame.pts * self._unit)
        if self._origin is None:
            self._origin = time - expected
        elif time - self._origin < self._last - _BACK:
            self.backward += 1
            self._origin = time - expected
        elif time - self._origin - self._last > max(_JUMP, _JUMP_FRAMES * self._interval):
            self.jumps += 1
        self._last = max(time - self._origin, self._last)
        return self._last
