"""What a VTN sees in whole videos: its prediction and the attention of its CLS token, ready to draw.

Shape legend: T frames of the full-video pass, D width of a frame feature, L layers, H heads, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fvcore.common.config import CfgNode

from slowfast_ext.config import load_config
from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.frames import Frames
from slowfast_ext.data.ledger import FAILED, decode_outcomes
from slowfast_ext.data.stored_videos import StoredVideos, use_stored_features
from slowfast_ext.distributed import device_of
from slowfast_ext.engine.trained import load_trained
from slowfast_ext.host.checkpoint import newest_checkpoint
from slowfast_ext.models import VTN
from slowfast_ext.report.attention import AttentionStrip, even_frames
from slowfast_ext.report.figures import printable
from slowfast_ext.video import VideoError, VideoReader
from vtn.errors import InputError

# Every video in one pass and one crop, by one process, as in a full-video test.
_FULL_VIDEO = (
    *"TRAIN.ENABLE False TRAIN.EVAL_FULL_VIDEO True VTN.CPU_PROCESSES 1".split(),
    *"TEST.ENABLE True TEST.NUM_ENSEMBLE_VIEWS 1 TEST.NUM_SPATIAL_CROPS 1".split(),
    *("TEST.CHECKPOINT_FILE_PATH", ""),
)

# Pixels, of all frames of a strip side by side: twice what the picture shows, so that many large videos fit
# into memory.
_ROW_PIXELS = 4500
_RECORDS = ("config", "config_test")  # what a run writes into its OUTPUT_DIR, whose name tells more


@dataclass(frozen=True)
class Look:
    """One video as a model saw it.

    Attributes:
        path: The video.
        scores: (K,) that sum to 1.
        attention: (L, H, T) of the CLS token on the frames.
        frame_indices: (T,) numbers of the frames in the video.
        features: (T, D), on the device of the model.
    """

    path: Path
    scores: np.ndarray
    attention: np.ndarray
    frame_indices: np.ndarray
    features: torch.Tensor

    def weights(self, layer: int, head: int | None = None) -> np.ndarray:
        """Attention in one layer, both counted from 0; the mean over its heads if `head` is None: (T,)."""
        return self.attention[layer].mean(axis=0) if head is None else self.attention[layer, head]

    def strip(
        self,
        weights: np.ndarray,
        caption: str,
        *,
        shown: int,
        action_frames: Sequence[int] | None = None,
    ) -> AttentionStrip:
        """Read the frames to show and put them over weights.

        Args:
            weights: (T,).
            caption: Heading.
            shown: How many frames.
            action_frames: First frame of the true action, and the first after it, where they are known.
        """
        in_picture, reader = even_frames(len(self.frame_indices), shown), VideoReader(self.path)
        frames = reader.read(self.frame_indices[in_picture].tolist()).numpy()
        step = max(1, frames.shape[2] * shown // _ROW_PIXELS)
        return AttentionStrip(
            frames=frames[:, ::step, ::step].copy(),
            frame_indices=in_picture,
            weights=weights,
            seconds=self.frame_indices / reader.fps,
            caption=caption,
            action_seconds=action_frames and tuple(frame / reader.fps for frame in action_frames),
        )


@dataclass(frozen=True)
class Looker:
    """A trained VTN that looks at videos.

    Attributes:
        name: Of its configuration's file, or of the run's folder.
        cfg: Full video, one crop.
        model: In evaluation mode, on the device of `cfg`.
        class_names: By class; None where they are not known.
    """

    name: str
    cfg: CfgNode
    model: VTN
    class_names: Sequence[str] | None

    def videos(self, split: str) -> Vtnkinetics:
        """The videos of a list, "val" or "test"; their stored features if VTN.FEATURES says where they are.

        Raises:
            InputError: If the list or the features cannot be used.
        """
        if not self.cfg.VTN.FEATURES:
            return Vtnkinetics(self.cfg, split)
        dataset = StoredVideos(self.cfg, split)
        use_stored_features(self.model, [dataset])
        return dataset

    @torch.inference_mode()
    def look(self, dataset: Vtnkinetics, item: int) -> Look:
        """Look at one full video of a data set.

        Raises:
            VideoError: If it cannot be read.
        """
        (clip, frame_indices), _, _, _, meta = dataset[item]
        outcome, reason = decode_outcomes({name: value[None] for name, value in meta.items()})[0]
        if outcome == FAILED:
            raise VideoError(reason)
        device = device_of(self.cfg)
        clip = clip.to(device)
        features = self.model.features_of(clip) if isinstance(clip, Frames) else clip[None]  # (1, T, D)
        logits, attention = self.model.classify(
            features, frame_indices[None].to(device), return_attention=True
        )
        return Look(
            path=Path(dataset.paths[item]),
            scores=logits.softmax(dim=1)[0].cpu().numpy(),
            attention=attention[0].cpu().numpy(),
            frame_indices=frame_indices.numpy(),
            features=features[0],
        )

    def verdict(self, look: Look) -> str:
        """The video, what was predicted, its score and by which model, as a picture can show it."""
        best = int(look.scores.argmax())
        name = printable(self.class_names[best], f"class {best}") if self.class_names else f"class {best}"
        video, model = printable(look.path.name, "video"), printable(self.name, "model")
        return f"{video}: predicted {name} ({look.scores[best]:.2f}) by {model}"


def load_looker(config: str | Path, checkpoint: str | Path | None, overrides: Sequence[str] = ()) -> Looker:
    """Load a VTN with all its weights.

    Args:
        config: The YAML file of its run.
        checkpoint: Its checkpoint; None for the newest in OUTPUT_DIR.
        overrides: Keys and values in turn.

    Raises:
        InputError: If it is no VTN, has no attention to show, or the checkpoint is missing or does not fit.
    """
    cfg = _config_of_one_process(config, overrides)
    if cfg.MODEL.MODEL_NAME != "VTN":
        raise InputError(
            f"{config}: MODEL.MODEL_NAME is {cfg.MODEL.MODEL_NAME}, and only a VTN has a CLS token "
            "whose attention can be looked at"
        )
    if cfg.VTN.SEQUENCE_ENCODER:
        raise InputError(
            f"{config}: VTN.SEQUENCE_ENCODER is {cfg.VTN.SEQUENCE_ENCODER!r}, and such an encoder does "
            "not return its attention"
        )
    checkpoint = checkpoint or newest_checkpoint(cfg.OUTPUT_DIR)
    if checkpoint is None:
        raise InputError(
            f"--cfg {config}: OUTPUT_DIR {cfg.OUTPUT_DIR!r} holds no checkpoint; name one with --checkpoint"
        )
    model, names = load_trained(cfg, checkpoint)
    path = Path(config)
    name = path.resolve().parent.name if path.stem in _RECORDS else path.stem
    return Looker(name, cfg, model, names)


def _config_of_one_process(config: str | Path, overrides: Sequence[str]) -> CfgNode:
    cfg = load_config(config, [*overrides, *_FULL_VIDEO])
    return cfg if cfg.NUM_GPUS <= 1 else load_config(config, [*overrides, *_FULL_VIDEO, "NUM_GPUS", "1"])
