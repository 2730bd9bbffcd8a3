"""Frame features of whole videos, by the backbone of a checkpoint or of published weights.

Legend: n frames that get a feature, D its width.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.config import merged_keys, read_yaml
from slowfast_ext.data.feature_files import VideoFeatures
from slowfast_ext.data.feature_settings import (
    ALL_FRAMES,
    FeatureSettings,
    feature_settings,
    full_video_frames,
    weights_fingerprint,
)
from slowfast_ext.data.ledger import FAILED, REPAIRED, decode_outcomes
from slowfast_ext.data.supervisor import collate, load_batches
from slowfast_ext.distributed import settle
from slowfast_ext.engine.trained import checkpoint_in, load_trained
from slowfast_ext.features.videos import VideosToExtract, shown_of
from slowfast_ext.host import get_host
from slowfast_ext.models import make_model
from slowfast_ext.predict.settings import prediction_config
from slowfast_ext.predict.stream import FrameStream
from slowfast_ext.video import VideoError, VideoReader
from vtn.checkpoint import read_checkpoint
from vtn.errors import InputError

# One crop, and no frame in the place of another.
_ALWAYS = ("TEST.NUM_SPATIAL_CROPS", "1", "VTN.REUSE_FRAMES", "0.0", "VTN.FEATURES", "")


class FeatureExtractor:
    """A backbone, ready for videos. It computes in float32.

    Args:
        checkpoint: A file as Predictor takes it; None for published weights of the backbone of `config`.
        config: A YAML file in place of the configuration in the checkpoint.
        overrides: Keys and values in turn, over either.
        all_frames: Take every frame in place of those of a full video.

    Attributes:
        cfg: The configuration in use.
        settings: What the features are made with.

    Raises:
        InputError: If the checkpoint or the configuration cannot be used.
    """

    def __init__(
        self,
        checkpoint: str | Path | None,
        *,
        config: str | Path | None = None,
        overrides: Sequence[str] = (),
        all_frames: bool = False,
    ) -> None:
        get_host()
        checkpoint = None if checkpoint is None else checkpoint_in(checkpoint)
        content = {} if checkpoint is None else read_checkpoint(checkpoint)
        overrides = [*overrides, *_ALWAYS]
        self.cfg = prediction_config(content, checkpoint or "", overrides, config=config, views="full")
        if self.cfg.MODEL.MODEL_NAME != "VTN":
            raise InputError(
                f"MODEL.MODEL_NAME is {self.cfg.MODEL.MODEL_NAME!r}: only a VTN has features of single frames"
            )
        if checkpoint is None:
            model = _published(self.cfg, config, overrides)
        else:
            model, _ = load_trained(self.cfg, checkpoint)
        self.settings: FeatureSettings = feature_settings(
            self.cfg,
            crop_size=self.cfg.DATA.TEST_CROP_SIZE,
            frames=ALL_FRAMES if all_frames else full_video_frames(self.cfg, self.cfg.TRAIN.EVAL_NUM_FRAMES),
            weights=weights_fingerprint(model.backbone),
        )
        self._all_frames, self._stream = all_frames, FrameStream(model, self.cfg, batch_size=1)

    def extract(
        self, paths: Sequence[str], *, num_workers: int = 0
    ) -> Iterator[tuple[str, VideoFeatures | VideoError]]:
        """Give the features of videos, in order.

        Args:
            paths: The files.
            num_workers: Processes that read them; with 0 they are read here, a few frames at a time.

        Yields:
            The path, and its features, or why there are none.
        """
        if not num_workers:
            for path in paths:
                yield path, self._one_by_one(path)
            return
        dataset, lost = VideosToExtract(self.cfg, paths, all_frames=self._all_frames), []
        batches = load_batches(
            dataset,
            [[item] for item in range(len(paths))],
            num_workers=num_workers,
            pin_memory=False,
            timeout=self.cfg.DATA_LOADER.VIDEO_TIMEOUT,
            memory=self.cfg.DATA_LOADER.VIDEO_MEMORY,
            same_video=lambda one, other: one == other,
            failed=lambda item, reason: lost.append((item, reason)),
        )
        for loaded in batches:
            path = paths[int(loaded[2][0])]
            yield path, self.of_item(path, loaded)
        for item, reason in lost:
            yield paths[item], VideoError(f"{paths[item]}: {reason}.")

    def reader(self) -> "ItemReader":
        """What reads a video for `of_item`, and needs no model."""
        return ItemReader(self.cfg, self._all_frames)

    def of_item(self, path: str, loaded: Any) -> VideoFeatures | VideoError:
        """Features of a video that another process has read."""
        (frames, *_), *_, meta = loaded
        ((outcome, reason),) = decode_outcomes(meta)
        if outcome == FAILED:
            return VideoError(reason)
        if bool(meta["long"]):
            return self._one_by_one(path)
        missing = reason.removeprefix(f"{path}: ").rstrip(".") if outcome == REPAIRED else ""
        numbers, shown, fps = meta["numbers"][0], meta["shown"][0], float(meta["facts"][0, 2])
        return _finite(path, VideoFeatures(self._stream.encode(frames), numbers, shown, fps, missing))

    def _one_by_one(self, path: str) -> VideoFeatures | VideoError:
        """Of one that is read here."""
        dataset = VideosToExtract(self.cfg, [path], all_frames=self._all_frames)
        try:
            reader = VideoReader(path)

            def work() -> VideoFeatures:
                # A repair may find that there are fewer frames, so they are chosen anew.
                numbers = dataset.frames_of(reader.info)
                features = self._stream.features(reader, numbers.tolist())
                return VideoFeatures(features, numbers, shown_of(reader.info), reader.fps)

            return _finite(path, replace(reader.with_repair(work), missing=reader.missing))
        except VideoError as error:
            return error


class ItemReader:
    """Reads a video for FeatureExtractor.of_item; it can be pickled.

    Args:
        cfg: Of the extractor.
        all_frames: Likewise.
    """

    def __init__(self, cfg: CfgNode, all_frames: bool) -> None:
        self._cfg, self._all_frames = cfg, all_frames

    def __call__(self, path: str) -> Any | None:
        """A batch of it; None if that would be too large.

        Raises:
            VideoError: If it cannot be read.
        """
        loaded = collate([VideosToExtract(self._cfg, [path], all_frames=self._all_frames)[0]])
        ((outcome, reason),) = decode_outcomes(loaded[-1])
        if outcome == FAILED:
            raise VideoError(reason)
        return None if bool(loaded[-1]["long"]) else loaded


def _finite(path: str, found: VideoFeatures) -> VideoFeatures | VideoError:
    if bool(torch.isfinite(found.features).all()):
        return found
    return VideoError(f"the features of {path} are not finite numbers.")


def _published(cfg: CfgNode, config: str | Path | None, overrides: Sequence[str]) -> nn.Module:
    """The model of a configuration with the published weights of its backbone, which are fetched if need be.

    Raises:
        InputError: If the configuration does not ask for them: the backbone would be random.
    """
    asked, _ = merged_keys(read_yaml(config), overrides, str(config))
    if not asked.VTN.PRETRAINED:
        raise InputError(
            "VTN.PRETRAINED is False, so the backbone would have random weights: name a checkpoint, or add "
            "VTN.PRETRAINED True"
        )
    settle(cfg)
    cfg = cfg.clone()
    cfg.defrost()
    cfg.VTN.PRETRAINED = True
    cfg.freeze()
    return make_model(cfg).eval()
