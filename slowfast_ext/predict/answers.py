"""What a model says of one video.

Legend: K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Classes that are named, and the least score of segments that are, where nobody says otherwise.
TOP, LEAST_SCORE = 5, 0.2


@dataclass(frozen=True)
class WindowScores:
    """A part of a video and its scores.

    Attributes:
        begin, end: Seconds from the start of the video.
        scores: (K,) that sum to 1.
    """

    begin: float
    end: float
    scores: np.ndarray


@dataclass(frozen=True)
class ScoredSegment:
    """An action that a model found in a video.

    Attributes:
        begin, end: Seconds from the start of the video.
        label: Its class.
        score: In [0, 1]; scores of different segments do not sum to 1.
    """

    begin: float
    end: float
    label: int
    score: float


@dataclass(frozen=True)
class Prediction:
    """One video as a model sees it.

    Attributes:
        path: The video, in words.
        class_names: (K,); None where they are not known.
        scores: (K,), the mean over views, or over windows; None if the video could not be read.
        num_frames: Frames of the video.
        frames_read: Of these, the distinct ones that were decoded and looked at.
        fps: Average rate, frames per second.
        views: Looks at the video, or at each window.
        missing: What the file lacks, in words; empty if nothing.
        error: Why there are no scores; empty if there are.
        windows: Scores over time; empty unless they were asked for.
        segments: By falling score; None of a model that does not find any.
    """

    path: str
    class_names: Sequence[str] | None
    scores: np.ndarray | None = None
    num_frames: int = 0
    frames_read: int = 0
    fps: float = 0.0
    views: int = 0
    missing: str = ""
    error: str = ""
    windows: tuple[WindowScores, ...] = ()
    segments: tuple[ScoredSegment, ...] | None = None

    @property
    def seconds(self) -> float:
        """Length of the video."""
        return self.num_frames / self.fps if self.fps else 0.0

    def top(self, count: int = TOP) -> list[tuple[str, float]]:
        """The classes with the highest scores, the best first, as (name, score); none without scores."""
        if self.scores is None:
            return []
        return [(self.name(label), float(self.scores[label])) for label in best_classes(self.scores, count)]

    def best_segments(self, least_score: float) -> list[ScoredSegment]:
        """Those with at least this score, by their beginning."""
        found = [segment for segment in self.segments or () if segment.score >= least_score]
        return sorted(found, key=lambda segment: (segment.begin, segment.end))

    def name(self, label: int) -> str:
        """Of a class."""
        return self.class_names[label] if self.class_names else f"class {label}"


def best_classes(scores: np.ndarray, count: int) -> list[int]:
    """Classes by falling score, of equal ones the first; at most `count`."""
    return np.argsort(-scores, kind="stable")[:count].tolist()
