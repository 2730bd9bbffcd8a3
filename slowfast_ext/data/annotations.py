"""When which action happens in a video, by its entry in a file of annotations: what can be used of it."""

import difflib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vtn.errors import excerpt

# Seconds by which a segment may end after its video: annotations are rounded. What is beyond is cut off.
END_TOLERANCE = 0.5
# Times that are this many times as long as the video are taken for numbers of frames, and refused.
_LIKE_FRAMES = 2.0
_LARGEST = 1e9  # of a number that can be a time, seconds
_LONGEST_SHOWN = 100


@dataclass(frozen=True)
class Segment:
    """An action in a video.

    Attributes:
        begin: Seconds from the start of the video, 0 or more.
        end: Seconds, after `begin`; [begin, end) is half-open.
        label: Class of the action.
    """

    begin: float
    end: float
    label: int


@dataclass(frozen=True)
class AnnotatedVideo:
    """What a file of segments says of a video.

    Attributes:
        segments: Those that can be used, by their beginning. None reaches beyond the duration.
        duration: Seconds; None if the file does not say.
        subset: Its split, in the words of the file; empty if it has none.
        problems: A clause on each thing that cannot be used, with the video and the value.
        num_clipped: Segments that ended a little after the video and now end with it.
    """

    segments: tuple[Segment, ...] = ()
    duration: float | None = None
    subset: str = ""
    problems: tuple[str, ...] = ()
    num_clipped: int = 0


@dataclass
class _Findings:
    """What is found in one entry, for AnnotatedVideo."""

    video: str
    segments: list[Segment] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    num_clipped: int = 0

    def complain(self, clause: str) -> None:
        self.problems.append(f"{excerpt(self.video)} {clause}")


def check_annotations(
    video: str, entry: Any, label_of: Callable[[str], int | None], names: Sequence[str]
) -> AnnotatedVideo:
    """Look at the entry of a video.

    Args:
        video: Its key, for messages.
        entry: As read_database has it.
        label_of: Gives the number of a class, or None if the name is unknown.
        names: Of all classes, of which messages show those that are close.

    Returns:
        What can be used, and what cannot. Of two segments of one class that overlap, the later one cannot;
        segments of different classes may overlap.
    """
    found = _Findings(video)
    annotations = entry.get("annotations") if isinstance(entry, dict) else None
    if not isinstance(annotations, list) or not all(isinstance(item, dict) for item in annotations):
        found.complain('has no list of "annotations"')
        return AnnotatedVideo(problems=tuple(found.problems))
    duration, subset = entry.get("duration"), entry.get("subset", "")
    if duration is not None and not (_is_number(duration) and duration > 0):
        found.complain(f"has the duration {_shown(duration)}; it must be a positive number of seconds")
        annotations = []
    elif any("segment(frames)" in item and "segment" not in item for item in annotations):
        found.complain('has times in frames only ("segment(frames)"); "segment" must give them in seconds')
        annotations = []
    elif duration is not None and like_frames(latest := _latest_end(annotations), duration):
        found.complain(
            f"has a segment that ends at {latest:g}, but lasts {duration:g} s: the times seem to be counted "
            "in frames, and must be seconds"
        )
        annotations = []
    for item in annotations:
        _take(item, duration, label_of, names, found)
    return AnnotatedVideo(
        _without_overlaps(found, names),
        duration,
        subset if isinstance(subset, str) else "",
        tuple(found.problems),
        found.num_clipped,
    )


def _take(
    item: Mapping[str, Any],
    duration: float | None,
    label_of: Callable[[str], int | None],
    names: Sequence[str],
    found: _Findings,
) -> None:
    """Check one annotation."""
    times, name = item.get("segment"), item.get("label")
    if not (isinstance(times, list) and len(times) == 2 and all(map(_is_number, times))):
        found.complain(f"has the segment {_shown(times)}; it must be two finite numbers, [begin, end]")
        return
    begin, end = map(float, times)
    label = label_of(name) if isinstance(name, str) else None
    if label is None:
        close = difflib.get_close_matches(name, names) if isinstance(name, str) else ()
        hint = f"; close names are {', '.join(map(excerpt, close))}" if close else ""
        found.complain(f"has a segment of the class {_shown(name)}, which is unknown{hint}")
    elif begin < 0:
        found.complain(f"has a segment that begins at {begin:g} s, before the video")
    elif end <= begin:
        found.complain(f"has a segment from {begin:g} to {end:g} s, whose length is not positive")
    elif duration is not None and beyond_end([Segment(begin, end, label)], duration):
        found.complain(f"has a segment from {begin:g} to {end:g} s, but lasts {duration:g} s")
    else:
        if duration is not None and end > duration:
            end, found.num_clipped = float(duration), found.num_clipped + 1
        found.segments.append(Segment(begin, end, label))


def _without_overlaps(found: _Findings, names: Sequence[str]) -> tuple[Segment, ...]:
    """By their beginning, without those that begin before another of their class has ended."""
    kept: list[Segment] = []
    latest: dict[int, Segment] = {}
    for one in sorted(found.segments, key=lambda segment: (segment.begin, segment.end, segment.label)):
        before = latest.get(one.label)
        if before is not None and one.begin < before.end:
            found.complain(
                f"has two segments of {excerpt(names[one.label])} that overlap, {before.begin:g} to "
                f"{before.end:g} s and {one.begin:g} to {one.end:g} s"
            )
            continue
        latest[one.label] = one
        kept.append(one)
    return tuple(kept)


def main_class(segments: Iterable[Segment]) -> int:
    """The class that takes most of the annotated time; of several the smallest number."""
    seconds: dict[int, float] = {}
    for segment in segments:
        seconds[segment.label] = seconds.get(segment.label, 0.0) + segment.end - segment.begin
    return min(seconds, key=lambda label: (-seconds[label], label))


def beyond_end(segments: Iterable[Segment], seconds: float) -> Segment | None:
    """The first segment that does not fit into a video of so many seconds, END_TOLERANCE allowed for."""
    late = (one for one in segments if one.begin >= seconds or one.end > seconds + END_TOLERANCE)
    return next(late, None)


def _latest_end(annotations: Sequence[Mapping[str, Any]]) -> float:
    """The largest of the times; 0 without any."""
    times = (item.get("segment") for item in annotations)
    pairs = (pair for pair in times if isinstance(pair, list))
    return max((time for pair in pairs for time in pair if _is_number(time)), default=0.0)


def like_frames(end: float, duration: float) -> bool:
    """Whether a segment ends so long after its video that its times seem to be numbers of frames."""
    return end > max(_LIKE_FRAMES * duration, duration + END_TOLERANCE)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return excerpt(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else excerpt(text)
