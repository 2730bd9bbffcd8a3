"""Repeated frames are encoded once, and nothing else changes: features, logits, gradients, chunks."""

import pytest
import timm
import torch
from torch import nn

import vtn
from vtn.backbone import create_backbone
from vtn.frame_encoding import encode_frames


class ScaledLinear(nn.Linear):
    """Not PyTorch's own: what it does in training cannot be known."""


def plain_backbone():
    """Treats an image alike in training and in evaluation: (N, 3, 8, 8) -> (N, 12)."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 12),
        nn.LayerNorm(12),
    )


def tiny_vit(**rates):
    return create_backbone("test_vit", img_size=32, **rates)


def jittered_vit():
    """Moves its rotary positions at random in training."""
    return timm.create_model("vit_small_patch16_dinov3", num_classes=0, img_size=32, rope_shift_coords=0.5)


def count_images(backbone):
    """List that grows by the number of images in every call."""
    seen = []
    backbone.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    return seen


def repeating_clip(frame_indices, size=8):
    """Clip (B, 3, T, size, size) that shows picture n wherever frame_indices (B, T) say n."""
    pictures = torch.randn(len(frame_indices), 3, int(frame_indices.max()) + 1, size, size)
    return torch.stack([p[:, i] for p, i in zip(pictures, frame_indices, strict=True)])


# A video of 4 frames and one of 6 in a clip of 9; 10 distinct frames.
INDICES = torch.tensor([[0, 0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 1, 2, 3, 3, 4, 5, 5]])
NUM_DISTINCT = 10


def model_of(backbone, **options):
    settings = {"num_heads": 3, "attention_window": 4, "hidden_dropout": 0.0, "attention_dropout": 0.0}
    return vtn.VTN(backbone, 5, head_dropout=0.0, img_size=8, **settings, **options)


def test_each_distinct_frame_is_encoded_once():
    backbone = plain_backbone()
    model, clip = model_of(backbone).eval(), repeating_clip(INDICES)
    seen = count_images(backbone)
    once = model.frame_features(clip, INDICES)
    logits = model(clip, INDICES)
    assert seen == [NUM_DISTINCT, NUM_DISTINCT]
    every = model.frame_features(clip)
    assert seen[2:] == [18]
    torch.testing.assert_close(once, every, rtol=0, atol=1e-6)
    torch.testing.assert_close(logits, model.classify(every, INDICES), rtol=0, atol=1e-6)


def test_order_and_videos_are_kept():
    """A backbone that reads a number painted in the frame, against those numbers themselves."""

    class Brightness(nn.Module):
        def forward(self, images):
            return images.mean((2, 3))

    numbers = torch.stack([100.0 + INDICES[0], 200.0 + INDICES[1]])
    clip = numbers[:, None, :, None, None].expand(-1, 3, -1, 4, 4)
    found = encode_frames(Brightness().eval(), clip, INDICES)
    assert torch.equal(found, numbers[:, :, None].expand(-1, -1, 3))


def test_the_last_frame_of_a_video_is_not_the_first_of_the_next():
    backbone = plain_backbone().eval()
    seen = count_images(backbone)
    indices = torch.tensor([[0, 1, 2], [2, 3, 3]])
    clip = torch.zeros(2, 3, 3, 8, 8)  # all pixels equal
    encode_frames(backbone, clip, indices)
    assert seen == [5]


def test_equal_numbers_alone_are_no_repetition():
    backbone = plain_backbone()
    model, seen = model_of(backbone).eval(), count_images(backbone)
    clip, zeros = torch.randn(2, 3, 9, 8, 8), torch.zeros(2, 9, dtype=torch.int64)
    clip[0, :, 5] = clip[0, :, 4]  # one true repetition
    clip[1, :, 5] = clip[1, :, 4]
    clip[1, 2, 5, 7, 7] += 0.1  # and one that differs in a single pixel
    features = model.frame_features(clip, zeros)
    assert seen == [17]
    torch.testing.assert_close(features, model.frame_features(clip), rtol=0, atol=1e-6)


def test_more_pairs_than_are_compared_at_once():
    backbone = plain_backbone().eval()
    seen = count_images(backbone)
    indices = torch.arange(100).div(20, rounding_mode="floor").expand(2, -1)
    clip = repeating_clip(indices)
    features = encode_frames(backbone, clip, indices)
    assert seen == [10]
    torch.testing.assert_close(features, encode_frames(backbone, clip), rtol=0, atol=1e-6)


@pytest.mark.parametrize("freeze_backbone", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_gradients_are_those_of_encoding_all(training, freeze_backbone):
    backbone = plain_backbone()
    model, clip = model_of(backbone, freeze_backbone=freeze_backbone).train(training), repeating_clip(INDICES)
    seen = count_images(backbone)

    def gradients(features):
        model.zero_grad()
        model.classify(features, INDICES).square().sum().backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    expected, found = gradients(model.frame_features(clip)), gradients(model.frame_features(clip, INDICES))
    assert seen == [18, NUM_DISTINCT]
    assert found.keys() == expected.keys()
    assert any(name.startswith("backbone") for name in found) != freeze_backbone
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-6, msg=name)


def test_chunks_hold_distinct_frames():
    backbone = plain_backbone()
    model = model_of(backbone, frames_per_chunk=4).eval()
    frozen = model_of(backbone, frames_per_chunk=6, freeze_backbone=True).train()
    clip, seen = repeating_clip(INDICES), count_images(backbone)
    model(clip, INDICES)
    assert seen == [4, 4, 2]
    seen.clear()
    frozen(clip, INDICES)
    assert seen == [6, 4]


@pytest.mark.parametrize(
    ("backbone", "alike"),
    [
        (plain_backbone, True),
        (tiny_vit, True),
        (lambda: tiny_vit(drop_path_rate=0.1), False),
        (lambda: tiny_vit(drop_rate=0.1), False),
        (lambda: nn.Sequential(nn.Dropout(0.0), plain_backbone()), True),
        (lambda: nn.Sequential(nn.Dropout2d(0.2), plain_backbone()), False),
        (lambda: nn.Sequential(nn.BatchNorm2d(3), plain_backbone()), False),
        (lambda: create_backbone("test_resnet"), False),
        (lambda: create_backbone("convnext_atto"), True),
        (jittered_vit, False),
        (lambda: nn.Sequential(nn.Flatten(), ScaledLinear(3 * 32 * 32, 12)), False),
    ],
)
def test_in_training_only_where_equal_frames_get_equal_features(backbone, alike):
    backbone, indices = backbone(), torch.tensor([[0, 0, 1]])
    clip, seen = repeating_clip(indices, size=32), count_images(backbone)
    encode_frames(backbone.train(), clip, indices)
    encode_frames(backbone.eval(), clip, indices)
    assert seen == [2 if alike else 3, 2]


def test_dropped_patches_differ_from_frame_to_frame():
    backbone = timm.create_model("test_vit", num_classes=0, img_size=64, patch_drop_rate=0.5).train()
    indices = torch.tensor([[0, 0]])
    first, second = encode_frames(backbone, repeating_clip(indices, size=64), indices)[0]
    assert not torch.allclose(first, second)


def test_norms_without_running_statistics_see_the_batch_in_evaluation_too():
    backbone = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), plain_backbone()).eval()
    clip, seen = repeating_clip(INDICES), count_images(backbone)
    encode_frames(backbone, clip, INDICES)
    assert seen == [18]


def test_pixels_that_want_gradients_are_all_encoded():
    backbone = plain_backbone().eval()
    clip, seen = repeating_clip(INDICES).requires_grad_(), count_images(backbone)
    encode_frames(backbone, clip, INDICES).square().sum().backward()
    assert seen == [18]
    assert clip.grad[0, :, 2].abs().max() > 0  # the third showing of frame 0 has a gradient of its own


def test_tensors_without_values_are_all_encoded():
    with torch.device("meta"):
        model = model_of(plain_backbone()).eval()
        seen = count_images(model.backbone)
        logits = model(torch.empty(2, 3, 9, 8, 8), torch.zeros(2, 9, dtype=torch.int64))
    assert logits.shape == (2, 5)
    assert seen == [18]


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore:.*jit.trace:FutureWarning")
@pytest.mark.parametrize("how", ["trace", "compile"])
def test_a_recorded_model_does_not_remember_where_a_clip_repeated(how):
    backbone = plain_backbone().eval().requires_grad_(False)
    clip, other = repeating_clip(INDICES), torch.randn(2, 3, 9, 8, 8)

    def encode(clip, indices):
        return encode_frames(backbone, clip, indices)

    if how == "trace":
        recorded = torch.jit.trace(encode, (clip, INDICES), check_trace=False)
    else:
        recorded = torch.compile(encode, backend="eager", fullgraph=True)  # no shape that depends on data
        recorded(clip, INDICES)
    torch.testing.assert_close(recorded(other, INDICES), encode_frames(backbone, other), rtol=0, atol=1e-6)
