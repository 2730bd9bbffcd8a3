"""What a model says of one video and why, as numbers and as a page.

Legend: T distinct frames that the model saw, n of them with a picture, L layers, H heads, G stretches of
time, K classes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from slowfast_ext.files import write_text
from slowfast_ext.host import get_installation
from slowfast_ext.predict.answers import TOP, Prediction, best_classes
from slowfast_ext.predict.explain import Evidence
from slowfast_ext.report.evidence_page import evidence_page
from slowfast_ext.report.evidence_parts import Film, Side, moments_of, time_in_words
from slowfast_ext.report.html import as_text
from slowfast_ext.report.machine import describe_machine
from vtn.errors import InputError

_PACKAGES = ("vtn-pyslowfast", "torch", "timm", "av")
_NOTES = (
    "Attention is the weight that the model's [CLS] token gives to a frame in one layer. It says where the "
    "model looked, which need not be what decided.",
    "Evidence is exact: the frames of the stretch are really left out, the others keep their places in time, "
    "and the model answers anew. Its unit is that of the scores.",
    "The evidence of several stretches does not add up. Where two show the same, either can be missed, so "
    "both have little.",
    "Each line is drawn to its own largest value, which stands at its edge: a small one looks as tall as a "
    "large one.",
)


@dataclass(frozen=True, eq=False)
class Explanation:
    """One video, what a model says of it, and what its frames mean to that.

    In a notebook it shows itself as its page.

    Attributes:
        prediction: As from Predictor.
        model: In words.
        checkpoint: Where its weights are from.
        fingerprint: As from Predictor.
        frame_indices: (T,) numbers of the frames, rising.
        times: (T,) seconds.
        shares: (T,) part of each frame in an even attention; more where a short video shows it more often.
        frames_mean: What the frames mean to the model; None where it cannot tell.
        remark: Why it is None, in a sentence.
        picture_frames: (n,), which of the T frames have a picture.
        pictures: n JPEG files.
        unread: Begin and end, seconds, of parts that cannot be decoded.
        segments: What was found from when to when, with `begin`, `end`, `label` and `score`.
    """

    prediction: Prediction
    model: str
    checkpoint: str
    fingerprint: str
    frame_indices: np.ndarray
    times: np.ndarray
    shares: np.ndarray
    frames_mean: Evidence | None
    remark: str
    picture_frames: np.ndarray
    pictures: tuple[bytes, ...]
    unread: tuple[tuple[float, float], ...] = ()
    segments: tuple = ()

    @property
    def attention(self) -> np.ndarray | None:
        """(L, H, T), weight of [CLS] on each frame; over all frames 1 less the weight on itself."""
        return None if self.frames_mean is None else self.frames_mean.attention

    @property
    def stretches(self) -> np.ndarray | None:
        """(G, 2), begin and end in seconds of what is left out in turn."""
        return None if self.frames_mean is None else self.frames_mean.stretches

    @property
    def evidence(self) -> np.ndarray | None:
        """(G, K), in [-1, 1]: how much the score of a class falls when a stretch is left out."""
        return None if self.frames_mean is None else self.frames_mean.evidence

    def page(self, *, beside: "Explanation | None" = None, command: str = "") -> str:
        """One self-contained HTML document.

        Args:
            beside: What another model says of the same frames, to compare.
            command: What was typed, for the page to tell.

        Raises:
            InputError: If the two are not of the same frames, or there are no scores.
        """
        both = [self] if beside is None else [self, beside]
        for one in both:
            if one.prediction.scores is None:
                raise InputError(f"there is no page of {one.prediction.path}: {one.prediction.error}")
        if beside is not None and not np.array_equal(self.frame_indices, beside.frame_indices):
            raise InputError(
                f"the two models look at different frames of {self.prediction.path}: compare models with the "
                "same TRAIN.EVAL_NUM_FRAMES and DATA.NUM_FRAMES"
            )
        facts = {"Command": command} if command else {}
        facts |= {"Video": self.prediction.path}
        for one, number in zip(both, ("",) if beside is None else (" A", " B"), strict=True):
            facts[f"Model{number}"] = f"{one.model}; {one.checkpoint}; fingerprint {one.fingerprint}"
        facts |= {
            "Machine": describe_machine(*_PACKAGES),
            "PySlowFast": get_installation().description,
        }
        mean = next((one.frames_mean for one in both if one.frames_mean is not None), None)
        labels = self._labels(both)
        return evidence_page(
            self._film(mean),
            [
                one._side(labels, self.picture_frames, words)
                for one, words in zip(both, _told_apart(both), strict=True)
            ],
            summary=self._summary(),
            missing=self._missing(),
            notes=[*self._notes(mean)],
            facts=facts,
        )

    def write(self, path: str | Path, *, beside: "Explanation | None" = None, command: str = "") -> None:
        """Write the page; arguments as for `page`.

        Raises:
            InputError: Also if the file cannot be written.
        """
        write_text(Path(path), self.page(beside=beside, command=command))

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that it and the notebook cannot touch each other."""
        look = 'style="width: 100%; height: 60rem; border: 0" sandbox="allow-scripts"'
        title = as_text(f"What the model saw in {self.prediction.path}")
        return f'<iframe title="{title}" {look} srcdoc="{as_text(self.page())}"></iframe>'

    def _labels(self, both: "list[Explanation]") -> list[int]:
        """Classes whose evidence the page has: the best ones, of two models of the same classes of both."""
        kinds = {(tuple(one.prediction.class_names or ()), len(one.prediction.scores)) for one in both}
        found = [best_classes(one.prediction.scores, TOP) for one in (both if len(kinds) == 1 else [])]
        return list(dict.fromkeys(label for labels in found for label in labels))

    def _film(self, mean: Evidence | None) -> Film:
        """The video; of `mean` only what depends on it alone is taken, its stretches."""
        prediction, starts = self.prediction, self.picture_frames
        return Film(
            title=Path(prediction.path).name,
            seconds=max(prediction.seconds, float(self.times[-1])) or 1.0,
            frames=self.frame_indices[starts].tolist(),
            times=self.times[starts].tolist(),
            pictures=self.pictures,
            shares=moments_of(self.shares, starts),
            groups=() if mean is None else mean.groups[starts].tolist(),
            stretches=() if mean is None else [tuple(pair) for pair in mean.stretches.tolist()],
            unread=self.unread,
            segments=[
                (part.begin, part.end, prediction.name(part.label), part.score) for part in self.segments
            ],
        )

    def _side(self, labels: list[int], starts: np.ndarray, model: str) -> Side:
        prediction, mean = self.prediction, self.frames_mean
        labels = labels or best_classes(prediction.scores, TOP)
        labels = sorted(labels, key=lambda label: -prediction.scores[label])
        return Side(
            model=model,
            scores=prediction.top(TOP),
            classes=[prediction.name(label) for label in labels],
            attention=None if mean is None else moments_of(mean.attention, starts),
            evidence=None if mean is None else mean.evidence.T[labels],
            remark=self.remark,
        )

    def _summary(self) -> str:
        prediction = self.prediction
        read = f"{len(self.frame_indices):,} of {prediction.num_frames:,} frames were looked at"
        return f"{time_in_words(prediction.seconds, 1)} of video; {read}."

    def _missing(self) -> str:
        if not self.prediction.missing and not self.unread:
            return ""
        told = f"Not all of this video could be read: {self.prediction.missing or 'frames are lost'}."
        if not self.unread:
            return told
        shown = [f"from {time_in_words(begin)} to {time_in_words(end)}" for begin, end in self.unread[:5]]
        more = f" and in {len(self.unread) - 5} more places" if len(self.unread) > 5 else ""
        return f"{told} There are no frames {', '.join(shown)}{more}."

    def _notes(self, mean: Evidence | None) -> Iterator[str]:
        if mean is not None:
            yield from _NOTES
            if len(np.unique(self.shares)) > 1:
                yield (
                    "This video has fewer frames than the model takes, so some were given to it more often: "
                    "their attention is the sum, hence the zigzag."
                )
        every = int(np.diff(self.picture_frames).max(initial=1))
        if every > 1:
            yield (
                f"Thinned: {len(self.picture_frames)} of the {len(self.frame_indices):,} frames that were "
                f"looked at are shown. Each stands for {every} frames and has the sum of their attention."
            )
        if mean is not None:
            length = float(mean.stretches[0, 1] - mean.stretches[0, 0])
            if length < 1:
                yield f"All frames lie within a second, so stretches of {length:g} s are left out in turn."
            elif length > 1:
                yield f"This is a long video, so stretches of {length:g} s are left out in turn, not seconds."


def _told_apart(both: list[Explanation]) -> list[str]:
    """Each model in words; two that are of one kind also by their files."""
    if len(both) == 1 or both[0].model != both[1].model:
        return [one.model for one in both]
    return [f"{one.model} ({one.checkpoint})" for one in both]
