"""Videos as frame features that were stored in advance (VTN.FEATURES): no frame is decoded, no backbone runs.

Legend: T frames of a clip, D width of a feature.
"""

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.feature_files import VideoFeatures
from slowfast_ext.data.feature_settings import (
    ALL_FRAMES,
    feature_settings,
    full_video_frames,
    of_weights,
    weights_fingerprint,
)
from slowfast_ext.data.feature_store import MANIFEST, FeatureStore, Record, identity
from slowfast_ext.distributed import unwrap
from slowfast_ext.host import get_host
from slowfast_ext.video import VideoError


class StoredVideos(Vtnkinetics):
    """As Vtnkinetics, with features (T, D) in the place of Frames; of training the same frames are chosen.

    Pixels are gone, so clips of training are not scaled, cropped and flipped at random: all are the centre
    crop. A full video needs the features of its frames or of all frames, any other clip those of all frames.

    `use` must be called before the first item is asked for.

    Args:
        cfg: As for Vtnkinetics, with VTN.FEATURES.
        mode: As for Vtnkinetics.
        videos: As for Vtnkinetics.

    Raises:
        InputError: As Vtnkinetics; or if VTN.FEATURES holds nothing that was made with these settings.
    """

    def __init__(self, cfg: CfgNode, mode: str, videos: Sequence[str] | None = None) -> None:
        super().__init__(cfg, mode, videos)
        folder = Path(cfg.VTN.FEATURES)
        self._store = _store(folder, identity(folder / MANIFEST))
        kinds = [full_video_frames(cfg, self._num_frames), ALL_FRAMES] if self._full_video else [ALL_FRAMES]
        self._wanted = [feature_settings(cfg, crop_size=self._crop_size, frames=kind) for kind in kinds]
        self._store.require_some(self._wanted)
        self._what = "videos" if videos else f"videos of the {mode} list"
        self._records: list[Record] = []
        self._width = 0
        self._last_stored: tuple[int, VideoFeatures] | None = None

    def use(self, weights: str) -> None:
        """Find the features of every video.

        Args:
            weights: What weights_fingerprint says of the backbone that they are to be of.

        Raises:
            InputError: If those of any video are missing, stale or damaged; says of how many, and which.
        """
        wanted = [of_weights(settings, weights) for settings in self._wanted]
        self._records = self._store.find_all(self.paths, wanted, self._what)
        self._width = max(record.width for record in self._records)

    def _load(self, video: int, view: int) -> tuple[torch.Tensor, torch.Tensor, str]:
        """Features of one view (T, D), their frame_indices (T,), and what the file of the video lacks."""
        stored = self._read_stored(video)
        _, starts = self._draw(video)
        shown, frame_indices = self._sample(stored, starts[view // len(self._positions)])
        features = stored.of_frames(shown)
        if features is None:
            raise VideoError(f"{self.paths[video]}: its features are of other frames: make them anew.")
        return features, frame_indices, stored.missing

    def _read_stored(self, video: int) -> VideoFeatures:
        """The features of a video; if it has several views, they are kept for the next item."""
        if self._last_stored is not None and self._last_stored[0] == video:
            return self._last_stored[1]
        record = self._records[video]
        if record.error:
            raise VideoError(record.error)
        try:
            stored = self._store.read(record)
        except VideoError as error:
            raise VideoError(f"{self.paths[video]}: {error}") from error
        self._last_stored = (video, stored) if self.num_views > 1 else None
        return stored

    def _nothing(self) -> torch.Tensor:
        """In place of the features of a video that has none."""
        return torch.zeros((self._num_frames, self._width))


@functools.lru_cache(maxsize=1)
def _store(folder: Path, manifest: tuple[int, int]) -> FeatureStore:
    """What is in a folder: read once for all data sets, of which a job has one for each video."""
    return FeatureStore(folder)


def use_stored_features(model: nn.Module, datasets: Iterable[object]) -> None:
    """Let data sets of stored features find those of a model; does nothing where there are none.

    Args:
        model: With the weights that it will keep; wrapped for several processes or not.
        datasets: Of the run.

    Raises:
        InputError: If features are missing, stale or damaged.
    """
    stored = [dataset for dataset in datasets if isinstance(dataset, StoredVideos)]
    if not stored:
        return
    weights = weights_fingerprint(unwrap(model).backbone)
    for dataset in stored:
        dataset.use(weights)
    logger = get_host().get_logger(__name__)
    logger.info("Features of %s: no frame is decoded, and no backbone runs", stored[0].cfg.VTN.FEATURES)
    if any(dataset.mode == "train" for dataset in stored):
        logger.info("Clips of training are stored centre crops: none is scaled, cropped or flipped at random")
