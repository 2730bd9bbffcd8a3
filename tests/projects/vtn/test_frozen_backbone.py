"""A frozen backbone (paper, table 2d): features only; nothing of it moves, nothing of it is remembered."""

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import vtn


def vit(depth):
    rates = {"drop_rate": 0.2, "drop_path_rate": 0.2, "attn_drop_rate": 0.2}
    size = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "num_heads": 3, "num_classes": 0}
    return VisionTransformer(depth=depth, **size, **rates)


def model_of(backbone, *, frozen, num_heads=3):
    """A VTN in training mode for frames of 32 x 32 pixels."""
    options = {"num_heads": num_heads, "attention_window": 4, "img_size": 32}
    return vtn.VTN(backbone, 5, freeze_backbone=frozen, **options).train()


def saved_bytes(model, clip):
    """Size of all that autograd keeps for the backward pass of one training step."""
    sizes = []

    def keep(tensor):
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(clip).square().sum()
    loss.backward()
    return sum(sizes)


def test_no_activations_are_kept():
    clip = torch.randn(2, 3, 4, 32, 32)
    shallow, deep = (saved_bytes(model_of(vit(depth), frozen=True), clip) for depth in (1, 6))
    assert shallow == deep
    # What they do without:
    trained_shallow, trained_deep = (
        saved_bytes(model_of(vit(depth), frozen=False), clip) for depth in (1, 6)
    )
    assert shallow < trained_shallow < trained_deep / 2


def test_dropout_of_the_backbone_is_off_in_training():
    clip = torch.randn(1, 3, 4, 32, 32)
    for frozen in (True, False):
        model = model_of(vit(2), frozen=frozen)
        assert torch.equal(model.frame_features(clip), model.frame_features(clip)) == frozen


@pytest.mark.parametrize("name", ["test_vit", "test_resnet"])
def test_training_moves_all_but_the_backbone(name):
    model = model_of(name, frozen=True, num_heads=4)
    before = {key: x.clone() for key, x in model.state_dict().items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model(torch.randn(2, 3, 4, 32, 32)).square().sum().backward()
        optimizer.step()
    after = model.state_dict()
    same = {key for key, x in before.items() if torch.equal(x, after[key])}
    assert {key for key in before if key.startswith("backbone.")} <= same  # running statistics too
    trainable = {key for key, p in model.named_parameters() if p.requires_grad}
    assert trainable & same == set()


def test_distributed_training_of_a_frozen_model(tmp_path):
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        model = nn.parallel.DistributedDataParallel(model_of(vit(1), frozen=True))
        for _ in range(2):  # a parameter without gradient is reported by the second step
            model(torch.randn(2, 3, 4, 32, 32)).sum().backward()
    finally:
        torch.distributed.destroy_process_group()
    assert all(p.grad is None for p in model.module.backbone.parameters())
