"""VTN in PySlowFast's model registry: a cfg becomes a `vtn.VTN`, which takes frames as they travel."""

import torch
from fvcore.common.config import CfgNode

import vtn
from slowfast_ext.arguments import model_arguments, said_in_keys
from slowfast_ext.data.frames import Frames
from slowfast_ext.data.packing import take_frames
from slowfast_ext.distributed import unwrap
from slowfast_ext.host import get_host
from slowfast_ext.host.heads import score_in_float32
from slowfast_ext.inflate import inflate_from_images, inflates
from slowfast_ext.recipe import class_names_of, recipe_of
from slowfast_ext.video.transforms import normalize
from vtn.backbone_training import recompute_activations
from vtn.localization import Localized


class VTN(vtn.VTN):
    """Video Transformer Network, MODEL.MODEL_NAME VTN.

    It is `vtn.VTN` itself (a subclass, so parameter names carry no prefix) with PySlowFast's calling
    convention: a list of inputs, logits in training and softmax scores in evaluation, because PySlowFast's
    test meter adds up what it is given and the paper averages softmax scores over the views (sec. 4.1).

    Args:
        cfg: A complete configuration.
    """

    takes_frames = True  # see slowfast_ext.data.packing

    def __init__(self, cfg: CfgNode) -> None:
        with said_in_keys():
            super().__init__(**model_arguments(cfg), pretrained=cfg.VTN.PRETRAINED)
            if cfg.MODEL.ACT_CHECKPOINT and not cfg.VTN.FREEZE_BACKBONE:  # a frozen one keeps none
                recompute_activations(self.backbone)
        self.recipe = recipe_of(cfg, **self.sizes)  # goes into every checkpoint
        self.normalization = self.recipe.mean, self.recipe.std

    def forward(self, inputs: list[Frames | torch.Tensor]) -> torch.Tensor | Localized:
        """Classify a batch.

        Args:
            inputs: [clips] or [clips, frame_indices (B, T)]; what a data set gives beyond those is for the
                loss. Clips are Frames, of which each distinct one is normalised and encoded once, or a
                normalised tensor (B, 3, T, H, W), or features that were computed before (B, T, D). Without
                indices the frames count 0 to T - 1 (PySlowFast's own FLOP counter passes only the clip).

        Returns:
            Logits (B, K) in training, scores (B, K) that sum to 1 in evaluation; with a localization head
            all of Localized, in evaluation with those scores for its logits.
        """
        clips, *others = inputs
        frame_indices = others[:1]
        if isinstance(clips, Frames):
            features = self.features_of(clips)
        else:
            features = clips if clips.ndim == 3 else self.frame_features(clips, *frame_indices)
        if self.localization_head is not None:
            found = self.localize(features, *frame_indices)
            return found if self.training else found._replace(logits=found.logits.float().softmax(dim=1))
        logits = self.classify(features, *frame_indices)
        return logits if self.training else logits.float().softmax(dim=1)

    def features_of(self, frames: Frames) -> torch.Tensor:
        """Normalise and encode each distinct frame once: (B, T, D).

        In evaluation no more than `frames_per_chunk` frames are floats at a time.
        """
        mean, std = self.normalization
        if self.frames_per_chunk is None or self.backbone.training:
            images = frames.images(mean, std)
        else:
            images = (normalize(pixels, mean, std) for pixels in frames.chunks(self.frames_per_chunk))
        return self.distinct_frame_features(images, frames.index)


def build_on_meta(cfg: CfgNode) -> torch.nn.Module:
    """Build any registered model on the meta device: names and shapes alone, nothing is downloaded."""
    with torch.device("meta"):
        model = get_host().bare_model(without_published_weights(cfg))
    return model.to("meta")


def published_weights(cfg: CfgNode) -> str | None:
    """In words, the published weights from which a model of `cfg` starts; None if it starts at random."""
    if cfg.MODEL.MODEL_NAME == "VTN" and cfg.VTN.PRETRAINED:
        return "the backbone's published weights (VTN.PRETRAINED)"
    if inflates(cfg):
        return f"{cfg.RESNET.INFLATE_FROM}, inflated over time (RESNET.INFLATE_FROM)"
    return None


def without_published_weights(cfg: CfgNode) -> CfgNode:
    """A copy of the configuration, for the same model with random weights: nothing is fetched."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.VTN.PRETRAINED, cfg.RESNET.INFLATE_FROM = False, ""
    cfg.freeze()
    return cfg


def make_model(cfg: CfgNode, gpu_id: int | None = None) -> torch.nn.Module:
    """Build any registered model (VTN, SlowFast, ResNet …) for a run: it takes lists of Frames or of tensors.

    It starts from published weights where VTN.PRETRAINED or RESNET.INFLATE_FROM ask for them.

    Args:
        cfg: Keys MODEL.MODEL_NAME, NUM_GPUS and the model's own.
        gpu_id: GPU to use instead of this process's.
    """
    model = get_host().build_model(cfg, gpu_id)
    inflate_from_images(unwrap(model), cfg)
    take_frames(unwrap(model), cfg)
    score_in_float32(unwrap(model))
    if not isinstance(unwrap(model), vtn.VTN):  # which has them from its recipe
        unwrap(model).class_names = class_names_of(cfg)  # goes into every checkpoint
    return model
