"""A trained model that takes videos and gives classes.

Legend: K classes.
"""

import functools
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from slowfast_ext.data.feature_settings import weights_fingerprint
from slowfast_ext.engine.localizing import in_seconds
from slowfast_ext.engine.trained import checkpoint_in, has_controls, load_trained
from slowfast_ext.files import feed
from slowfast_ext.host import get_host
from slowfast_ext.models import VTN
from slowfast_ext.predict.answers import LEAST_SCORE, Prediction, ScoredSegment, WindowScores
from slowfast_ext.predict.explain import explain_once, model_in_words
from slowfast_ext.predict.explanation import Explanation
from slowfast_ext.predict.loading import (
    FrameReader,
    LoadedVideo,
    ReadVideo,
    load_and_score,
    score_batches,
)
from slowfast_ext.predict.settings import prediction_config
from slowfast_ext.predict.sources import FrameSource, source_of
from slowfast_ext.predict.stream import FrameStream, SpanAnswer
from slowfast_ext.predict.thumbnails import WatchedFrames
from slowfast_ext.predict.videos import Span, checked_windows, spans_of
from slowfast_ext.processes import usable_cores
from slowfast_ext.recipe import read_name_lines
from slowfast_ext.video import VideoError
from vtn.checkpoint import read_checkpoint
from vtn.errors import InputError
from vtn.localization import Segments, merge_segments

_MOST_WORKERS = 4
# Bytes of the frames of a video that may be handed from one process to another.
_MOST_BYTES = 2**28


class Predictor:
    """A trained model, ready for videos.

        predictor = Predictor("checkpoint.pyth")
        predictor("video.mp4").top(5)  # [(name, score), ...]

    Scores are those of the test of the run that made the checkpoint.

    Args:
        checkpoint: A file of this project, of PySlowFast or of the authors' fork, of which no code is run; or
            the OUTPUT_DIR of a run, for its newest one.
        config: A YAML file in place of the configuration in the checkpoint.
        overrides: Keys and values in turn, over either.
        classes: A file with the name of a class on each line, in place of the names in the checkpoint.
        views: "full" for one look at the whole video, "multi" for several clips and crops; by default what
            the configuration says.
        frames_per_chunk: Frames that a VTN is given at once, to save memory; by default what the
            configuration says.
        batch_size: Views that are computed at once.
        features: A folder of tools/extract_features.py, whose features of the videos stand in for decoded
            frames. Videos are then files, and are looked at as wholes.

    Attributes:
        cfg: The configuration in use.
        model: In evaluation mode.
        class_names: (K,); None where they are not known.

    Raises:
        InputError: If the checkpoint, the configuration or the classes cannot be used.
    """

    def __init__(
        self,
        checkpoint: str | Path,
        *,
        config: str | Path | None = None,
        overrides: Sequence[str] = (),
        classes: str | Path | None = None,
        views: str | None = None,
        frames_per_chunk: int | None = None,
        batch_size: int = 8,
        features: str | Path | None = None,
    ) -> None:
        for name, number in (("batch size", batch_size), ("number of frames per chunk", frames_per_chunk)):
            if number is not None and number < 1:
                raise InputError(f"the {name} is {number}: it must be at least 1")
        get_host()
        checkpoint = checkpoint_in(checkpoint)
        content = read_checkpoint(checkpoint)
        if frames_per_chunk is not None:
            overrides = [*overrides, "VTN.FRAMES_PER_CHUNK", str(frames_per_chunk)]
        if features is not None:
            overrides = [*overrides, "VTN.FEATURES", str(features), "ENGINE", "own"]
        self.cfg = prediction_config(content, checkpoint, overrides, config=config, views=views)
        names = None if classes is None else _read_classes(Path(classes), self.cfg.MODEL.NUM_CLASSES)
        self.model, known = load_trained(self.cfg, checkpoint)
        self.class_names: Sequence[str] | None = known if names is None else names
        self._checkpoint, self._batch_size = checkpoint, batch_size
        self._stream = FrameStream(self.model, self.cfg, batch_size)

    def __call__(
        self,
        video: Any,
        *,
        fps: float | None = None,
        window: float | None = None,
        every: float | None = None,
    ) -> Prediction:
        """Look at one video, a few frames at a time.

        Args:
            video: A path; a binary file object that can seek; or frames: an array or tensor (T, H, W, 3) of
                uint8, RGB, or an iterable of such frames, which are gathered first.
            fps: Frames per second, of frames.
            window: Seconds; look at parts of this length, as if each was a video.
            every: Seconds from one of these to the next; by default they follow one another.

        Raises:
            InputError: If an argument cannot be used.
            VideoError: If the video cannot be read.
        """
        window, every = checked_windows(window, every)
        if self.cfg.VTN.FEATURES:
            self._require_whole_file(video, window)
            (prediction,) = self._load([os.fspath(video)], 0)
            if prediction.error:
                raise VideoError(prediction.error)
            return prediction
        name, source = source_of(video, fps)
        return self._look(name, source, window, every)

    def predict_files(
        self,
        paths: Sequence[str],
        *,
        num_workers: int | None = None,
        window: float | None = None,
        every: float | None = None,
    ) -> Iterator[Prediction]:
        """Look at many files, several at once.

        Args:
            paths: The files.
            num_workers: Processes that read them; by default up to four. With windows, or where a VTN takes
                a video in chunks, files are read here, one after the other.
            window, every: As for a call.

        Yields:
            A prediction for each file, as it is done; one that cannot be read says so in its `error`.
        """
        window, every = checked_windows(window, every)
        if self.cfg.VTN.FEATURES:
            self._require_whole_file("", window)
            yield from self._load(paths, num_workers or 0)
        elif window is not None or self._looks_in_chunks:
            for path in paths:
                try:
                    yield self._look(path, source_of(path)[1], window, every)
                except VideoError as error:
                    yield Prediction(path, self.class_names, error=str(error))
        elif paths:
            yield from self._load(paths, self._workers_for(paths) if num_workers is None else num_workers)

    def reader(self, *, window: float | None = None, every: float | None = None) -> "FrameReader | None":
        """What reads videos as predict_files does, for `answer`, and needs no model.

        None if a video is looked at while it is read, as windows are, or its frames would take too much
        memory.
        """
        cfg = self.cfg
        if window is not None or every is not None or self._looks_in_chunks or cfg.VTN.FEATURES:
            return None
        frames = cfg.TRAIN.EVAL_NUM_FRAMES if cfg.TRAIN.EVAL_FULL_VIDEO else cfg.DATA.NUM_FRAMES
        size = 3 * cfg.DATA.TEST_CROP_SIZE**2 * frames * self._stream.num_views
        return FrameReader(cfg, self._batch_size) if size <= _MOST_BYTES else None

    def answer(self, found: ReadVideo) -> Prediction:
        """What predict_files says of a video that its reader has read."""
        batches = score_batches(self.model, self.cfg, [found.path], self._stream.num_views, found.batches)
        return self._told(next(batches))

    @functools.cached_property
    def _weights(self) -> str:
        """What stored features must be of: a job needs it for each video, and it takes a second."""
        return weights_fingerprint(self.model.backbone)

    @property
    def _looks_in_chunks(self) -> bool:
        return bool(self.cfg.VTN.FRAMES_PER_CHUNK) and isinstance(self.model, VTN)

    @property
    def finds_segments(self) -> bool:
        """Whether the model says when something happens."""
        return bool(self.cfg.VTN.LOCALIZATION_SCALES)

    def explain(
        self, video: Any, *, fps: float | None = None, least_score: float = LEAST_SCORE
    ) -> Explanation:
        """Look once at one video, and find out what its frames mean to the answer.

        It is decoded once and each frame is encoded once.

        Args:
            video, fps: As for a call.
            least_score: Of segments that the page shows, from a model that finds them.

        Raises:
            InputError: If an argument cannot be used, or the configuration looks at several clips of a video.
            VideoError: If the video cannot be read.
        """
        if self.cfg.VTN.FEATURES:
            raise InputError("an explanation shows frames, so the video is decoded: leave the features out")
        if self._stream.num_clips != 1:
            raise InputError(
                f"an explanation is of one look at a video, and this configuration takes "
                f"{self._stream.num_clips} clips of it: choose the views 'full'"
            )
        name, source = source_of(video, fps)
        watched = WatchedFrames(source)
        name_of_model = self.cfg.MODEL.MODEL_NAME
        found = source.with_repair(lambda: explain_once(self._stream, self.model, name_of_model, watched))
        info = source.info
        segments = self._segments([Span(0, info.num_frames)], [found.answer], info.fps)
        facts = info.num_frames, len(found.frame_indices), info.fps
        prediction = self._prediction(name, found.answer.scores, facts, source.missing, (), segments)
        return Explanation(
            prediction=prediction,
            model=model_in_words(self.cfg),
            checkpoint=str(self._checkpoint),
            fingerprint=self.fingerprint(),
            frame_indices=found.frame_indices,
            times=found.times,
            shares=found.shares,
            frames_mean=found.evidence,
            remark=found.remark,
            picture_frames=found.picture_frames,
            pictures=tuple(found.pictures),
            unread=found.unread,
            segments=tuple(prediction.best_segments(least_score)),
        )

    def fingerprint(self, *, window: float | None = None, every: float | None = None, **more: Any) -> str:
        """What tells predictions of other weights, settings or names from these: 16 hexadecimal digits.

        Args:
            window, every: As for a call.
            **more: Plain values that matter too.
        """
        more |= {"window": window, "every": every}
        digest = hashlib.blake2b(digest_size=8)
        feed(digest, self._checkpoint)
        sections = ("DATA", "MODEL", "VTN", "RESNET", "NONLOCAL", "SLOWFAST", "BN")
        settings = {name: self.cfg[name].dump() for name in sections if name in self.cfg}
        test = {key: self.cfg.TEST[key] for key in ("NUM_ENSEMBLE_VIEWS", "NUM_SPATIAL_CROPS", "PRECISION")}
        full = self.cfg.TRAIN.EVAL_FULL_VIDEO, self.cfg.TRAIN.EVAL_NUM_FRAMES
        names = None if self.class_names is None else list(self.class_names)
        digest.update(json.dumps([settings, test, full, names, more], sort_keys=True).encode())
        return digest.hexdigest()

    def _look(self, name: str, source: FrameSource, window: float | None, every: float | None) -> Prediction:
        """Look at one video from its start to its end."""

        def work() -> tuple:
            # A repair may find that there are fewer frames, so they are chosen anew.
            spans = spans_of(source.info, window, every)
            return spans, *self._stream.answers(source, spans)

        spans, answers, frames_read = source.with_repair(work)
        info, windows = source.info, ()
        if window is not None:
            windows = tuple(
                WindowScores(
                    span.first / info.fps, (span.first + span.num_frames) / info.fps, answer.scores.numpy()
                )
                for span, answer in zip(spans, answers, strict=True)
            )
        segments = self._segments(spans, answers, info.fps)
        scores = torch.stack([answer.scores for answer in answers]).mean(dim=0)
        facts = info.num_frames, frames_read, info.fps
        return self._prediction(name, scores, facts, source.missing, windows, segments)

    def _load(self, paths: Sequence[str], num_workers: int) -> Iterator[Prediction]:
        """Look at many videos as a test does."""
        how: dict[str, Any] = {"batch_size": self._batch_size, "num_workers": num_workers}
        if self.cfg.VTN.FEATURES:
            how["weights"] = self._weights
        yield from map(self._told, load_and_score(self.model, self.cfg, paths, **how))

    def _told(self, video: LoadedVideo) -> Prediction:
        if video.scores is None:
            return Prediction(video.path, self.class_names, error=video.error)
        num_frames, _, fps = video.facts
        answer = SpanAnswer(video.scores, video.candidates)
        segments = self._segments([Span(0, int(num_frames))], [answer], fps)
        return self._prediction(video.path, video.scores, video.facts, video.missing, (), segments)

    def _require_whole_file(self, video: Any, window: float | None) -> None:
        """Refuse what stored features cannot show."""
        if window is not None or not (isinstance(video, str) or hasattr(video, "__fspath__")):
            raise InputError(
                f"VTN.FEATURES is {self.cfg.VTN.FEATURES!r}: it holds features of whole files, so "
                "no windows and no frames in memory can be looked at with it"
            )

    def _segments(self, spans: Sequence[Span], answers: Sequence[SpanAnswer], fps: float) -> Segments | None:
        """What was found in all parts of a video, in its seconds; None of a model that finds none."""
        if not self.finds_segments:
            return None
        several, count = [], self.cfg.TRAIN.EVAL_NUM_FRAMES
        for span, answer in zip(spans, answers, strict=True):
            found = in_seconds(answer.candidates, count, span.num_frames, fps)
            several.append(found._replace(spans=found.spans + span.first / fps))
        return merge_segments(several)

    def _prediction(
        self,
        name: str,
        scores: torch.Tensor,
        facts: Sequence[float],
        missing: str,
        windows: tuple[WindowScores, ...] = (),
        segments: Segments | None = None,
    ) -> Prediction:
        num_frames, frames_read = map(int, facts[:2])
        found: np.ndarray | None = scores.numpy()
        error = ""
        if not np.isfinite(found).all():
            found, windows, error = None, (), f"the scores of {name} are not finite numbers."
        return Prediction(
            name,
            self.class_names,
            scores=found,
            num_frames=num_frames,
            frames_read=frames_read,
            fps=facts[2],
            views=self._stream.num_views,
            missing=missing,
            error=error,
            windows=windows,
            segments=None if segments is None else _scored(segments),
        )

    def _workers_for(self, paths: Sequence[str]) -> int:
        return min(_MOST_WORKERS, usable_cores(), len(paths)) if len(paths) > 1 else 0


def _scored(segments: Segments) -> tuple[ScoredSegment, ...]:
    columns = (*segments.spans.T.tolist(), segments.labels.tolist(), segments.scores.tolist())
    return tuple(map(ScoredSegment, *columns))


def _read_classes(path: Path, num_classes: int) -> tuple[str, ...]:
    names = read_name_lines(path, f"--classes {path}")
    if len(names) != num_classes or not all(names) or any(map(has_controls, names)):
        raise InputError(
            f"--classes {path}: it has {len(names)} lines, and the model has {num_classes} classes: it must "
            "have the name of one on each line"
        )
    return names
