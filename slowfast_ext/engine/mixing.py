"""What is done to training batches on the device, just before the model: erasing, mixup, cutmix, soft labels.

Legend: B clips of a batch, T frames of each, C side of the crop, K classes.
"""

import torch
from fvcore.common.config import CfgNode
from timm.data.mixup import Mixup, mixup_target

from slowfast_ext.data.dense import DenseClips, erases
from slowfast_ext.data.frames import Frames
from slowfast_ext.data.packing import pack_pathways
from slowfast_ext.engine.batch import Batch
from slowfast_ext.video.augment import Draw, as_images, seed_of, seeded


class Mixing:
    """Erases clips if AUG says so, mixes them with others of their batch if MIXUP does.

    Every clip is mixed with the one at the mirrored place of its batch: all of its frames with the frames of
    the other, by one weight (mixup, arXiv 1710.09412) or in one box (cutmix, arXiv 1905.04899), by timm. The
    random numbers of a step depend on RNG_SEED, the epoch and the iteration only. They are drawn on the CPU,
    so every device does the same, and no GPU is waited for.

    Args:
        cfg: Keys AUG.*, MIXUP.*, and those of DenseClips and pack_pathways.
    """

    def __init__(self, cfg: CfgNode) -> None:
        self._cfg, self._make_dense, mixup = cfg, DenseClips(cfg), cfg.MIXUP
        self._mixes = mixup.ENABLE and mixup.PROB > 0
        self._mixup = Mixup(
            mixup_alpha=mixup.ALPHA,
            cutmix_alpha=mixup.CUTMIX_ALPHA,
            prob=mixup.PROB,
            switch_prob=mixup.SWITCH_PROB,
            label_smoothing=mixup.LABEL_SMOOTH_VALUE,
            num_classes=cfg.MODEL.NUM_CLASSES,
        )

    def __call__(self, batch: Batch, epoch: int, iteration: int) -> Batch:
        """Change a batch, in place.

        Args:
            batch: Of training; B is even where clips are mixed.
            epoch: From 0.
            iteration: Of the epoch, from 0.

        Returns:
            The batch. Its inputs are as they were if nothing is erased nor mixed, else tensors. Its labels
            are distributions (B, K) if MIXUP.ENABLE.
        """
        clips, *frame_indices = batch.inputs
        travelled = isinstance(clips, Frames)  # clips of another data set are tensors, and erased if at all
        if travelled and (self._mixes or erases(self._cfg)):
            clips = self._make_dense(clips, batch.items, epoch)
        if self._mixes:
            # In place, through another view of the same memory.
            with seeded(seed_of(Draw.MIXING, self._cfg.RNG_SEED, epoch, iteration)):
                _, batch.labels = self._mixup(as_images(clips), batch.labels)
        elif self._cfg.MIXUP.ENABLE:
            smoothing = self._cfg.MIXUP.LABEL_SMOOTH_VALUE
            batch.labels = mixup_target(batch.labels, self._cfg.MODEL.NUM_CLASSES, smoothing=smoothing)
        is_vtn = self._cfg.MODEL.MODEL_NAME == "VTN"
        if travelled and not is_vtn and not isinstance(clips, Frames):
            batch.inputs = pack_pathways(self._cfg, clips)
        else:
            batch.inputs = [clips, *frame_indices]
        return batch


def comparable(logits: torch.Tensor, labels: torch.Tensor, cfg: CfgNode) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and classes (B,) from which errors are counted, as main's train_net.py does it.

    Of a mixed clip both classes are right: the logit of the lesser one is added to that of the greater, and
    set to 0. Labels that are only smoothed (MIXUP.PROB 0) have one class, and their logits are left alone.

    Args:
        logits: (B, K).
        labels: (B,), or distributions (B, K).
        cfg: Key MIXUP.PROB.
    """
    if labels.ndim == 1:
        return logits, labels
    greater, lesser = labels.topk(2, dim=1).indices.unbind(1)
    if cfg.MIXUP.PROB == 0:
        return logits, greater
    rows = torch.arange(len(labels), device=labels.device)
    both = logits[rows, greater] + logits[rows, lesser]
    logits = logits.clone()
    logits[rows, greater], logits[rows, lesser] = both, 0.0
    return logits, greater
