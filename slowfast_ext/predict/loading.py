"""Many videos through a model as a test does it: the same loader, batches over videos, mean over views.

Legend: K classes.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.data.ledger import FAILED, REPAIRED, Ledger, decode_outcomes
from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.data.sampler import VideoSampler
from slowfast_ext.data.stored_videos import use_stored_features
from slowfast_ext.distributed import device_of
from slowfast_ext.engine.localizing import logits_of
from slowfast_ext.engine.test import test_step
from slowfast_ext.predict.videos import StoredVideosToPredict, VideosToPredict
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
    model: nn.Module, cfg: CfgNode, paths: Sequence[str], *, batch_size: int, num_workers: int
) -> Iterator[LoadedVideo]:
    """Read videos, or their stored features where VTN.FEATURES says so, and score them.

    Args:
        model: In evaluation mode, on the device of `cfg`.
        cfg: A complete configuration.
        paths: Files.
        batch_size: Views that are computed at once.
        num_workers: Processes that read.

    Yields:
        Each video as it is done.
    """
    kind = StoredVideosToPredict if cfg.VTN.FEATURES else VideosToPredict
    dataset, device = kind(cfg, "test", paths), device_of(cfg)
    use_stored_features(model, [dataset])
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
    seen: dict[int, list[torch.Tensor]] = {}
    for loaded in loader:
        with torch.inference_mode():
            output = test_step(loaded, model, device, cfg)
        items, meta, found = loaded[2].tolist(), loaded[-1], [None] * len(loaded[2])
        if isinstance(output, Localized):
            found = candidates_of(output, model.points(cfg.TRAIN.EVAL_NUM_FRAMES))
        rows = logits_of(output).cpu()
        told = zip(items, rows, found, decode_outcomes(meta), meta["facts"].tolist(), strict=True)
        for item, row, candidates, (outcome, reason), facts in told:
            video = item // dataset.num_views
            views = seen.setdefault(video, [])
            views.append(row)
            if len(views) == dataset.num_views:
                del seen[video]
                missing = _clause(reason, paths[video]) if outcome == REPAIRED else ""
                scores = torch.stack(views).mean(dim=0)
                yield LoadedVideo(paths[video], scores, tuple(facts), missing, candidates=candidates)
        yield from _failures(ledger, paths)
    yield from _failures(ledger, paths)


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
