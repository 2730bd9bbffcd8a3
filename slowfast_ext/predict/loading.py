"""Many videos through a model as a test does it: the same loader, batches over videos, mean over views.

Legend: K classes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.data.frames import Frames
from slowfast_ext.data.ledger import FAILED, REPAIRED, Ledger, decode_outcomes
from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.data.sampler import VideoSampler
from slowfast_ext.distributed import device_of
from slowfast_ext.engine.localizing import logits_of
from slowfast_ext.engine.test import test_step
from slowfast_ext.predict.videos import StoredVideosToPredict, VideosToPredict
from slowfast_ext.video import VideoError
from vtn.localization import Localized, Segments, candidates_of


class LoadedVideo(NamedTuple):
    """What a model says of one of many videos.

    Attributes:
        path: As given.
        scores: (K,), the mean over the views, on the CPU; None if the video could not be read.
        facts: Its frames, the distinct ones that were read, and frames per second.
        missing: What the file lacks; empty if nothing.
        error: Why there are no scores; empty if there are.
        candidates: Segments before soft-NMS, in tokens; None of a model that finds none.
    """

    path: str
    scores: torch.Tensor | None = None
    facts: tuple[float, ...] = (0, 0, 0.0)
    missing: str = ""
    error: str = ""
    candidates: Segments | None = None


def load_and_score(
    model: nn.Module,
    cfg: CfgNode,
    paths: Sequence[str],
    *,
    batch_size: int,
    num_workers: int,
    weights: str = "",
) -> Iterator[LoadedVideo]:
    """Read videos, or their stored features where VTN.FEATURES says so, and score them.

    Args:
        model: In evaluation mode, on the device of `cfg`.
        cfg: A complete configuration.
        paths: Files.
        batch_size: Views that are computed at once.
        num_workers: Processes that read.
        weights: weights_fingerprint of the backbone, for stored features.

    Yields:
        Each video as it is done.
    """
    kind = StoredVideosToPredict if cfg.VTN.FEATURES else VideosToPredict
    dataset, device = kind(cfg, "test", paths), device_of(cfg)
    if isinstance(dataset, StoredVideosToPredict):
        dataset.use(weights)
    loader = VideoLoader(
        dataset,
        VideoSampler(dataset, shuffle=False, seed=0),
        batch_size=batch_size,
        train=False,
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
        timeout=cfg.DATA_LOADER.VIDEO_TIMEOUT,
        memory=cfg.DATA_LOADER.VIDEO_MEMORY,
    )
    loader.ledger = ledger = _LedgerOfFailures(dataset.paths, dataset.labels)
    for found in score_batches(model, cfg, paths, dataset.num_views, loader):
        yield found
        yield from _failures(ledger, paths)
    yield from _failures(ledger, paths)


class ReadVideo(NamedTuple):
    """A video on its way to a model in another process.

    Attributes:
        path: The file that was read.
        batches: As a loader gives them.
    """

    path: str
    batches: list[Any]


class FrameReader:
    """Reads videos as `load_and_score` does, by itself; it can be pickled.

    Args:
        cfg: A complete configuration.
        batch_size: Views that are computed at once.
    """

    def __init__(self, cfg: CfgNode, batch_size: int) -> None:
        self._cfg, self._batch_size = cfg, batch_size

    def __call__(self, path: str) -> ReadVideo:
        """The frames of a video.

        Raises:
            VideoError: If it cannot be read.
        """
        dataset = VideosToPredict(self._cfg, "test", [path])
        sampler, how = VideoSampler(dataset, shuffle=False, seed=0), {"batch_size": self._batch_size}
        loader = VideoLoader(dataset, sampler, train=False, transform=_by_itself, **how)
        loader.ledger = ledger = _LedgerOfFailures(dataset.paths, dataset.labels)
        batches = list(loader)
        if ledger.failed:
            raise VideoError(ledger.failed[0][1])
        return ReadVideo(path, batches)


def _by_itself(loaded: Any) -> Any:
    """A batch whose frames are a copy: where views are parts of one picture, pickle would take all of it."""
    (frames, *others), *rest = loaded
    return [[Frames((torch.cat(frames.parts),), frames.index), *others], *rest]


def score_batches(
    model: nn.Module, cfg: CfgNode, paths: Sequence[str], num_views: int, batches: Iterable[Any]
) -> Iterator[LoadedVideo]:
    """Score videos that were read.

    Args:
        model, cfg: As for load_and_score.
        paths: Files.
        num_views: Views of each.
        batches: As a loader gives them; all views of a video are in one of them or in some that follow.

    Yields:
        Each video as it is done.
    """
    device, seen = device_of(cfg), {}
    for loaded in batches:
        with torch.inference_mode():
            output = test_step(loaded, model, device, cfg)
        items, meta, found = loaded[2].tolist(), loaded[-1], [None] * len(loaded[2])
        if isinstance(output, Localized):
            found = candidates_of(output, model.points(cfg.TRAIN.EVAL_NUM_FRAMES))
        rows = logits_of(output).cpu()
        told = zip(items, rows, found, decode_outcomes(meta), meta["facts"].tolist(), strict=True)
        for item, row, candidates, (outcome, reason), facts in told:
            video = item // num_views
            views = seen.setdefault(video, [])
            views.append(row)
            if len(views) == num_views:
                del seen[video]
                missing = _clause(reason, paths[video]) if outcome == REPAIRED else ""
                scores = torch.stack(views).mean(dim=0)
                yield LoadedVideo(paths[video], scores, tuple(facts), missing, candidates=candidates)


class _LedgerOfFailures(Ledger):
    """A ledger that also lists what failed since somebody looked."""

    def __init__(self, paths: Sequence[str], labels: Sequence[int]) -> None:
        super().__init__(paths, labels)
        self.failed: list[tuple[int, str]] = []

    def note(self, video: int, outcome: str, reason: str = "") -> None:
        """As Ledger.note."""
        known = self.entries.get(video)
        super().note(video, outcome, reason)
        if outcome == FAILED and (known is None or known.outcome != FAILED):
            self.failed.append((video, reason))


def _failures(ledger: _LedgerOfFailures, paths: Sequence[str]) -> Iterator[LoadedVideo]:
    while ledger.failed:
        video, reason = ledger.failed.pop(0)
        yield LoadedVideo(paths[video], error=reason)


def _clause(reason: str, path: str) -> str:
    """What is missing, from the ledger's sentence "PATH: ..."; a long one has lost its beginning."""
    return reason.removeprefix(f"{path}: ").rstrip(".")
