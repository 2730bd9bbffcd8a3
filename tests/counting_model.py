"""A VTN whose logits are counted by hand: the sums of the features of the frames that it is given."""

import pytest
import torch

import vtn


class _Counting(torch.nn.Module):
    """Stands in for the layers: the state of CLS is the sum of the frames that are kept."""

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.positions = encoder.positions

    def embed_frames(self, features, frame_indices, length):
        return features

    def embed_cls(self, token):
        return torch.zeros_like(token)

    def encode(self, cls, frames, num_frames, need_weights=False):
        return sum((part.sum(1) for part in frames), cls[:, 0]), None


def let_it_count(model: vtn.VTN, monkeypatch: pytest.MonkeyPatch) -> vtn.VTN:
    """The model, changed in place; it has as many classes as its features are wide."""
    monkeypatch.setattr("vtn.evidence.check_in_parts", lambda *_: None)
    model.temporal_encoder, model.mlp_head = _Counting(model.temporal_encoder), torch.nn.Identity()
    model.num_classes = model.embed_dim
    return model
