"""What a VTN says of a video while it comes.

Legend: P places of the crop.
"""

import math
from collections.abc import Iterator

import torch

import vtn
from slowfast_ext.models import VTN
from slowfast_ext.predict.answers import WindowScores
from slowfast_ext.predict.predictor import Predictor
from slowfast_ext.predict.stream import FrameStream
from slowfast_ext.predict.videos import check_seconds
from slowfast_ext.processes import interrupts_wait
from slowfast_ext.video.live import ROUNDING, LiveFrame, LiveVideo
from vtn.errors import InputError
from vtn.temporal_encoder import TemporalEncoder


class LiveAnswers:
    """Answers for a video so far, each for all frames since the beginning of it, or of a window.

    Args:
        predictor: With a VTN.
        source, kind: The video, as LiveVideo takes them.
        rate: Frames looked at in a second; by default those of a clip in training.
        every: Seconds from one answer to the next.
        window: Seconds, after which all is forgotten; by default never.

    Attributes:
        num_layers: Temporal layers of the model. With one the answers are exact.
        num_frames: Frames that have come.
        num_looked: Of these, looked at.
        seconds: When the last one is shown.

    Raises:
        InputError: If a number or the model cannot be used.
    """

    def __init__(
        self,
        predictor: Predictor,
        source: str,
        *,
        kind: str | None = None,
        rate: float | None = None,
        every: float = 2.0,
        window: float | None = None,
    ) -> None:
        model, cfg = predictor.model, predictor.cfg
        if not isinstance(model, VTN):
            raise InputError(
                f"--live is for VTN, and this checkpoint is of {cfg.MODEL.MODEL_NAME}: predict files with it"
            )
        self._rate = cfg.DATA.TARGET_FPS / cfg.DATA.SAMPLING_RATE if rate is None else rate
        if not 0 < self._rate < math.inf:
            raise InputError(f"rate is {rate}: it must be more than 0 frames per second")
        check_seconds("window", window)
        check_seconds("every", every)
        if window is not None and window * self._rate < 1:
            raise InputError(
                f"window is {window}: at {self._rate:g} frames per second it would hold no frame; "
                "type a longer one, or another --rate"
            )
        self._video, self._frames = LiveVideo(source, kind), FrameStream(model, cfg, batch_size=1)
        self._every, self._window = every, window
        encoder = model.temporal_encoder
        self.num_layers = len(encoder.layers) if isinstance(encoder, TemporalEncoder) else 1
        kind = vtn.Streaming if self.num_layers == 1 else vtn.CausalStreaming
        self._places = [kind(model) for _ in range(self._frames.num_places)]
        self.num_frames = self.num_looked = self._first = self._told = 0
        self.seconds = self._begin = 0.0

    @property
    def name(self) -> str:
        """Of the source, in words."""
        return str(self._video)

    @property
    def missing(self) -> str:
        """What the source was found to lack so far, in words."""
        return self._video.missing

    def __iter__(self) -> Iterator[WindowScores]:
        """Answers as they are due. Ctrl-C does not come between the parts of one frame."""
        for frame in self._video.frames(self._rate):
            with interrupts_wait():
                answer = self._take(frame)
            if answer is not None:
                yield answer

    def latest(self) -> WindowScores | None:
        """The answer for all frames so far, of the window that is open; None before the first frame."""
        return self._answer(self.seconds) if self._places[0].num_pushed else None

    def _take(self, frame: LiveFrame) -> WindowScores | None:
        """Go on with a frame; the answer for those before it, if it is due."""
        passed, answer = frame.seconds + ROUNDING - self._begin, None
        if self._window is not None and passed >= self._window:
            answer = self._answer(self._begin + self._window)
            self._begin += self._window * int(passed / self._window)
            self._first, self._told = frame.number, 0
            for place in self._places:
                place.reset()
        elif int(passed / self._every) > self._told:
            self._told = int(passed / self._every)
            answer = self._answer(self._begin + self._told * self._every)
        self.num_frames, self.seconds = frame.number + 1, frame.seconds
        if frame.picture is not None:
            self._look(frame)
        return answer

    def _look(self, frame: LiveFrame) -> None:
        number = torch.tensor([frame.number - self._first])
        rows = self._frames.features_of(frame.picture, self._video.shape.pixel_aspect)
        for place, row in zip(self._places, rows.split(1), strict=True):
            place.push_features(row, number)
        self.num_looked += 1

    def _answer(self, end: float) -> WindowScores | None:
        if not self._places[0].num_pushed:
            return None
        with self._frames.computing():
            logits = torch.stack([place.logits() for place in self._places])
        scores = logits.float().softmax(dim=1).mean(dim=0).cpu().numpy()
        return WindowScores(self._begin, end, scores)
