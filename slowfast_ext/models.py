"""VTN in PySlowFast's model registry: a cfg becomes a `vtn.VTN`, which takes frames as they travel."""

import torch
from fvcore.common.config import CfgNode

import vtn
from slowfast_ext.data.frames import Frames
from slowfast_ext.host import get_host


class VTN(vtn.VTN):
    """Video Transformer Network, MODEL.MODEL_NAME VTN.

    It is `vtn.VTN` itself (a subclass, so parameter names carry no prefix) with PySlowFast's calling
    convention: a list of inputs, logits in training and softmax scores in evaluation, because PySlowFast's
    test meter adds up what it is given and the paper averages softmax scores over the views (sec. 4.1).

    Args:
        cfg: A complete configuration.
    """

    takes_frames = True  # see slowfast_ext.packing

    def __init__(self, cfg: CfgNode) -> None:
        node = cfg.VTN
        windows = list(node.ATTENTION_WINDOW)
        super().__init__(
            node.BACKBONE,
            cfg.MODEL.NUM_CLASSES,
            num_layers=node.NUM_HIDDEN_LAYERS,
            num_heads=node.NUM_ATTENTION_HEADS,
            attention_window=windows[0] if len(windows) == 1 else windows,
            ffn_dim=node.INTERMEDIATE_SIZE or None,
            mlp_dim=node.MLP_DIM or None,
            position_embedding=node.POSITION_EMBEDDING,
            max_position_embeddings=node.MAX_POSITION_EMBEDDINGS,
            attention=node.ATTENTION,
            sequence_encoder=node.SEQUENCE_ENCODER or None,
            shuffle_frames=node.SHUFFLE_FRAMES,
            attention_dropout=node.ATTENTION_PROBS_DROPOUT_PROB,
            hidden_dropout=node.HIDDEN_DROPOUT_PROB,
            head_dropout=cfg.MODEL.DROPOUT_RATE,
            pretrained=node.PRETRAINED,
            freeze_backbone=node.FREEZE_BACKBONE,
            drop_rate=node.DROP_RATE,
            drop_path_rate=node.DROP_PATH_RATE,
            img_size=cfg.DATA.TRAIN_CROP_SIZE,
            frames_per_chunk=node.FRAMES_PER_CHUNK or None,
        )
        self._mean_std = tuple(cfg.DATA.MEAN), tuple(cfg.DATA.STD)

    def forward(self, inputs: list[Frames | torch.Tensor]) -> torch.Tensor:
        """Classify a batch.

        Args:
            inputs: [clips] or [clips, frame_indices (B, T)]. Clips are Frames, of which each distinct one is
                normalised and encoded once, or a normalised tensor (B, 3, T, H, W). Without indices the
                frames count 0 to T - 1 (PySlowFast's own FLOP counter passes only the clip).

        Returns:
            Logits (B, K) in training, scores (B, K) that sum to 1 in evaluation.
        """
        clips, *frame_indices = inputs
        if isinstance(clips, Frames):
            logits = self.classify(self.features_of(clips), *frame_indices)
        else:
            logits = super().forward(clips, *frame_indices)
        return logits if self.training else logits.softmax(dim=1)

    def features_of(self, frames: Frames) -> torch.Tensor:
        """Normalise and encode each distinct frame once: (B, T, D)."""
        return self.distinct_frame_features(frames.images(*self._mean_std), frames.index)


def build_on_meta(cfg: CfgNode) -> torch.nn.Module:
    """Build any registered model without memory: names and shapes alone, nothing is downloaded."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.VTN.PRETRAINED = False
    with torch.device("meta"):
        return get_host().create_model(cfg)


def build_model(cfg: CfgNode) -> torch.nn.Module:
    """Build any registered model (VTN, SlowFast, ResNet …) on this process's device."""
    return get_host().build_model(cfg)
