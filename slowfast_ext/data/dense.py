"""Training batches as tensors, for what needs more than bytes: random erasing, and mixup after it.

Legend: B clips of a batch, T frames shown in each, C side of the crop.
"""

from collections.abc import Callable
from typing import Any

import torch
from fvcore.common.config import CfgNode

from slowfast_ext.data.frames import Frames
from slowfast_ext.data.packing import pack_pathways
from slowfast_ext.video.augment import ClipErasing, Draw, seed_of


def erases(cfg: CfgNode) -> bool:
    """Whether training clips are erased at random."""
    return cfg.AUG.ENABLE and cfg.AUG.RE_PROB > 0


class DenseClips:
    """Makes Frames into normalised tensors, erased at random if AUG says so.

    Which clips are erased, and where, depends on RNG_SEED, the epoch, the item and its sample only.

    Args:
        cfg: Keys AUG.*, DATA.MEAN, DATA.STD and RNG_SEED.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self._cfg, aug = cfg, cfg.AUG
        self._erase = ClipErasing(aug.RE_PROB, aug.RE_MODE, aug.RE_COUNT) if erases(cfg) else None

    def __call__(self, frames: Frames, items: torch.Tensor, epoch: int) -> torch.Tensor:
        """Make one batch dense.

        Args:
            frames: B clips, the samples of an item one after the other.
            items: Number of each clip's item, (B,), on the CPU.
            epoch: From 0.

        Returns:
            (B, 3, T, C, C), on the device of the frames.
        """
        clips = frames.clips(self._cfg.DATA.MEAN, self._cfg.DATA.STD)
        if self._erase:
            samples = self._cfg.AUG.NUM_SAMPLE
            seeds = [
                self._seed_of_clip(epoch, item, place % samples) for place, item in enumerate(items.tolist())
            ]
            self._erase(clips, seeds)
        return clips

    def _seed_of_clip(self, epoch: int, item: int, sample: int) -> int | None:
        """Of one clip; None for one that AUG.RE_SPLIT leaves whole."""
        if self._cfg.AUG.RE_SPLIT and not sample:
            return None
        return seed_of(Draw.ERASING, self._cfg.RNG_SEED, epoch, item, sample)


def dense_batches(cfg: CfgNode, current_epoch: Callable[[], int]) -> Callable[[Any], Any]:
    """A transform of batches for loops that take tensors only, as main's mixup does.

    Args:
        cfg: The keys of DenseClips and of pack_pathways.
        current_epoch: Gives the epoch of the batches.
    """
    make_dense = DenseClips(cfg)

    def densify(batch: Any) -> Any:
        (frames, *frame_indices), labels, items, *rest = batch
        clips = make_dense(frames, items, current_epoch())
        inputs = [clips, *frame_indices] if cfg.MODEL.MODEL_NAME == "VTN" else pack_pathways(cfg, clips)
        return [inputs, labels, items, *rest]

    return densify
