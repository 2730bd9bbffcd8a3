"""RESNET.INFLATE_FROM: a ResNet for videos that starts from one for images.

The proof is a video that stands still: after the last stage, before the head, its features are those that
timm's own network gives for the one frame, except near both ends, where 3D convolutions see zeros.
"""

import os

import pytest
import timm
import torch
import torchvision
from torch import nn

from slowfast_ext.config import load_config
from slowfast_ext.engine import start
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.host.checkpoint import is_new_in_video
from slowfast_ext.inflate import inflate_from_images
from slowfast_ext.models import build_on_meta
from slowfast_ext.plugin import loops
from vtn import InputError

I3D = os.path.join(os.path.dirname(__file__), "..", "..", "configs", "Kinetics", "I3D_8x8_R50.yaml")
NON_LOCAL = ("NONLOCAL.LOCATION", "[[[]],[[1,3]],[[1,3,5]],[[]]]")
# Frames of the clip, and the one after the last stage that zeros from neither end reach: the kernels of i3d
# add up to 5 frames on either side, then the rate is halved and they add 6; those of slow add up to 9.
ARCHITECTURES = {"c2d": (2, 0), "i3d": (38, 9), "slow": (19, 9)}


@pytest.fixture(scope="module")
def image_network(tmp_path_factory) -> tuple[nn.Module, str]:
    """timm's ResNet-50 with nothing left as it is initialised, and the file of its weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model("resnet50").eval()
        for norm in (module for module in network.modules() if isinstance(module, nn.BatchNorm2d)):
            for tensor, low, high in (
                (norm.weight, 0.5, 1.0),
                (norm.bias, -0.2, 0.2),
                (norm.running_mean, -0.2, 0.2),
                (norm.running_var, 0.5, 2.0),
            ):
                tensor.data.uniform_(low, high)
    path = tmp_path_factory.mktemp("images") / "resnet50.pth"
    torch.save(network.state_dict(), path)
    return network, str(path)


@pytest.fixture
def i3d_cfg(tmp_path):
    """Load configs/Kinetics/I3D_8x8_R50.yaml with overrides."""

    def load(*overrides: str):
        return load_config(I3D, ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path / "out"), *overrides])

    return load


def build_as_pyslowfast_does(cfg) -> nn.Module:
    """Its own function's name, under which its loops and other people's look for it."""
    if get_host().NAME == "git":
        from slowfast.models import build_model
    else:
        from slowfast.models.model_builder import build_model
    return build_model(cfg)


def blank(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights of the same shapes."""
    return {name: torch.zeros(weight.shape) for name, weight in state.items()}


@torch.no_grad()
def features(model: nn.Module, image: torch.Tensor, num_frames: int) -> torch.Tensor:
    """What the last stage hands to the head for a video of one image (1, 3, H, W): (1, C, T, H', W')."""
    seen = []
    hook = model.s5.register_forward_hook(lambda module, inputs, outputs: seen.append(outputs[0]))
    model.eval()([image[:, :, None].expand(-1, -1, num_frames, -1, -1).contiguous()])
    hook.remove()
    return seen[0]


@pytest.mark.parametrize(
    "arch", ["c2d", pytest.param("i3d", marks=pytest.mark.slow), "slow", "i3d with non-local blocks"]
)
@torch.no_grad()
def test_a_still_video_has_the_features_of_its_frame(arch, image_network, i3d_cfg, caplog):
    network, path = image_network
    arch, _, blocks = arch.partition(" ")
    keys = ("MODEL.ARCH", arch, "RESNET.INFLATE_FROM", path, *(NON_LOCAL if blocks else ()))
    with caplog.at_level("INFO"):
        model = build_as_pyslowfast_does(i3d_cfg(*keys))
    new = [f"s3.pathway0_nonlocal{n}" for n in (1, 3)] + [f"s4.pathway0_nonlocal{n}" for n in (1, 3, 5)]
    told = ", ".join(["head", *(new if blocks else ())])
    line = f"RESNET.INFLATE_FROM {path}: 318 weights inflated, all but its classifier; new: {told}\n"
    assert line in caplog.text

    image = torch.randn(1, 3, 64, 64)
    num_frames, inner = ARCHITECTURES[arch]
    found = features(model, image, num_frames)[:, :, inner]
    expected = network.forward_features(image)
    assert expected.std() > 0.1  # 1e-4 says something
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    if arch != "c2d":
        return
    # The comparison would notice one weight in the wrong place, wherever it is.
    for name in ("conv1.weight", "layer2.0.downsample.1.running_var", "layer4.2.bn3.bias"):
        weight = network.state_dict()[name]
        kept = weight.clone()
        weight.flatten()[:2] += 0.1
        assert not torch.allclose(found, network.forward_features(image), atol=1e-4, rtol=0), name
        weight.copy_(kept)


@pytest.mark.parametrize("depth", ["50", "101"])
def test_names_are_complete_on_both_sides(depth, i3d_cfg):
    """torchvision's names are timm's, and each weight but those of fc, head and blocks has its place."""
    with torch.device("meta"):
        ours, theirs = timm.create_model(f"resnet{depth}"), getattr(torchvision.models, f"resnet{depth}")()
    shapes = {name: weight.shape for name, weight in ours.state_dict().items()}
    assert shapes == {name: weight.shape for name, weight in theirs.state_dict().items()}
    cfg = i3d_cfg("RESNET.DEPTH", depth, *NON_LOCAL, "RESNET.INFLATE_FROM", f"resnet{depth}.tv_in1k")
    video = build_on_meta(cfg).state_dict()
    old = [name for name in video if not is_new_in_video(name)]
    assert len(old) == len(shapes) - 2
    assert len(video) - len(old) == 2 + 5 * (4 * 2 + 5)  # head; five blocks of four convolutions and a norm


@pytest.mark.parametrize(
    ("value", "overrides", "sentence"),
    [
        ("resnet101", "", r"'resnet101': it has layer3\.6\.conv1\.weight, which has no place in the model; "),
        (
            "resnet50",
            "RESNET.DEPTH 101",
            r"has nothing for the model's s4\.pathway0_res6\.branch2\.a\.weight",
        ),
        ("resnet50", "RESNET.WIDTH_PER_GROUP 8", r"its conv1\.weight is \(64, 3, 7, 7\), and the model's s1"),
        ("resnext50_32x4d", "", r"its layer1\.0\.conv1\.weight is \(128, 64, 1, 1\)"),
        ("resnet50d", "", r"it has conv1\.0\.weight, which has no place in the model"),
        ("resnet50_gn", "", r"it has nothing for the model's s1\.pathway0_stem\.bn\.running_mean"),
        ("resnetaa50", "", r"'resnetaa50': its \S+ is AvgPool2d; it must be a plain ResNet"),
        ("resnetblur50", "", r"'resnetblur50': its maxpool\.0 is MaxPool2d; it must be a plain ResNet"),
        ("resnet50", "RESNET.STRIDE_1X1 True", r"RESNET\.STRIDE_1X1 must be False, because"),
        (
            "resnet50",
            "RESNET.SPATIAL_STRIDES [[1],[2],[2],[1]]",
            r"the stride of its layer4\.0\.conv2 is 2, and 1",
        ),
        (
            "resnet50",
            f"RESNET.ZERO_INIT_FINAL_BN False {' '.join(NON_LOCAL)}",
            r"FINAL_BN must be True, so that",
        ),
        ("resnet5", "", r"RESNET\.INFLATE_FROM is 'resnet5', which timm does not have; close names are"),
        ("nowhere/resnet50.pth", "", r"RESNET\.INFLATE_FROM is 'nowhere/resnet50\.pth': no such file"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_start(value, overrides, sentence, i3d_cfg):
    with pytest.raises(InputError, match=sentence):
        i3d_cfg("RESNET.INFLATE_FROM", value, *overrides.split())


@pytest.mark.parametrize("name", ["VTN_ViT_B", "SLOWFAST_8x8_R50"])
def test_other_models_are_refused(name, tmp_path):
    path = I3D.replace("I3D_8x8_R50", name)
    with pytest.raises(InputError, match=r"INFLATE_FROM is 'resnet50': only MODEL.MODEL_NAME ResNet .* not"):
        load_config(path, ["NUM_GPUS", "0", "OUTPUT_DIR", str(tmp_path), "RESNET.INFLATE_FROM", "resnet50"])


@pytest.mark.parametrize(
    ("spoil", "suffix", "sentence"),
    [
        (
            lambda state: state.pop("layer4.2.conv3.weight"),
            "pth",
            "nothing for the model's s5.pathway0_res2",
        ),
        (
            lambda state: state.update(extra=torch.ones(1)),
            "pth",
            "it has extra, which has no place",
        ),
        (lambda state: state.pop("conv1.weight"), "safetensors", "cannot be read: it is damaged"),
    ],
)
def test_files_that_do_not_fit_are_refused_before_the_start(spoil, suffix, sentence, i3d_cfg, tmp_path):
    with torch.device("meta"):
        network = timm.create_model("resnet50", num_classes=0)
    state = blank(network.state_dict())
    spoil(state)
    path = tmp_path / f"spoilt.{suffix}"
    torch.save(state, path)
    with pytest.raises(InputError, match=sentence):
        i3d_cfg("RESNET.INFLATE_FROM", str(path))


def test_a_file_of_safetensors_and_one_without_counters_are_read(image_network, i3d_cfg, tmp_path):
    """torchvision's oldest files do not count batches; timm's are of safetensors."""
    from safetensors.torch import save_file

    network, _ = image_network
    state = {name: x for name, x in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    path = str(tmp_path / "resnet50.safetensors")
    save_file(state, path)
    cfg = i3d_cfg("MODEL.ARCH", "c2d", "RESNET.INFLATE_FROM", path)
    model = get_host().bare_model(cfg)
    inflate_from_images(model, cfg)
    found = model.state_dict()["s3.pathway0_res0.branch2.b.weight"]
    assert torch.equal(found[:, :, 0], state["layer2.0.conv2.weight"])


@pytest.fixture
def no_network(monkeypatch):
    """timm cannot fetch anything."""
    create_model = timm.create_model

    def create(name, pretrained=False, **options):
        if pretrained:
            raise OSError("no network")
        return create_model(name, **options)

    monkeypatch.setattr(timm, "create_model", create)


def test_published_weights_are_fetched_only_where_no_checkpoint_has_them(
    no_network, i3d_cfg, tmp_path, caplog
):
    keys = ("MODEL.ARCH", "c2d", "RESNET.INFLATE_FROM", "resnet50.tv_in1k")
    cfg = i3d_cfg(*keys)
    with caplog.at_level("INFO"), pytest.raises(InputError) as refused:
        start.make_model_of(cfg, start.find_training_source(cfg))
    assert str(refused.value) == (
        "RESNET.INFLATE_FROM is 'resnet50.tv_in1k': the published weights cannot be loaded (no network); "
        "connect to the network, name a file of such weights, or leave the key empty"
    )
    assert "training starts from resnet50.tv_in1k, inflated over time (RESNET.INFLATE_FROM)\n" in caplog.text

    state = blank(build_on_meta(cfg).state_dict())
    path = checkpoint.checkpoint_path(str(tmp_path / "out"), 1)
    os.makedirs(os.path.dirname(path))
    torch.save({"model_state": state}, path)
    state = {name: weight for name, weight in state.items() if not name.startswith("head.")}
    torch.save(state, tmp_path / "headless.pyth")
    del state["s5.pathway0_res2.branch2.c.weight"]
    torch.save(state, tmp_path / "gap.pyth")
    another = (*keys, "OUTPUT_DIR", str(tmp_path / "another"), "TRAIN.CHECKPOINT_PARTIAL", "True")
    for name, held in (("headless", True), ("gap", False)):
        cfg = i3d_cfg(*another, "TRAIN.CHECKPOINT_FILE_PATH", str(tmp_path / f"{name}.pyth"))
        source = start.find_training_source(cfg)
        assert (start.without_needless_download(cfg, source).RESNET.INFLATE_FROM == "") is held
    resumed = i3d_cfg(*keys)
    caplog.clear()
    caplog.set_level("INFO")
    start.make_model_of(resumed, start.find_training_source(resumed))
    tested = i3d_cfg(*keys, "TRAIN.ENABLE", "False", "TEST.CHECKPOINT_FILE_PATH", path)
    start.make_model_of(tested, start.find_test_source(tested))
    told = "Not fetched, because the checkpoint replaces them: resnet50.tv_in1k, inflated over time"
    assert caplog.text.count(told) == 2


RESNET = (
    "MODEL.MODEL_NAME ResNet MODEL.ARCH c2d TRAIN.EVAL_FULL_VIDEO False BN.USE_PRECISE_STATS False "
    "SOLVER.BASE_LR 0 DATA.NUM_FRAMES 2 RESNET.ZERO_INIT_FINAL_BN True"
).split()


@pytest.mark.slow
def test_training_starts_from_it_and_continues_without_it(image_network, tiny_cfg, tmp_path):
    """At learning rate 0 the first checkpoint holds the image network's kernels; then the file is gone."""
    network, path = image_network
    copy = tmp_path / "resnet50.pth"
    os.link(path, copy)
    keys = (*RESNET, "RESNET.INFLATE_FROM", str(copy))
    loops.train(tiny_cfg(*keys, "SOLVER.MAX_EPOCH", "1"))
    saved = torch.load(checkpoint.checkpoint_path(str(tmp_path / "out"), 1), weights_only=True)["model_state"]
    for there, here in (
        ("conv1", "s1.pathway0_stem.conv"),
        ("layer3.5.bn2", "s4.pathway0_res5.branch2.b_bn"),
    ):
        expected = network.state_dict()[f"{there}.weight"]
        torch.testing.assert_close(saved[f"{here}.weight"].reshape(expected.shape), expected)
    copy.unlink()
    loops.train(tiny_cfg(*keys, "SOLVER.MAX_EPOCH", "2"))
    assert os.path.isfile(checkpoint.checkpoint_path(str(tmp_path / "out"), 2))


@pytest.mark.slow
def test_two_processes_start_from_it(image_network, run_net, tmp_path):
    network, path = image_network
    out = tmp_path / "two"
    run = run_net(
        out, *RESNET, "RESNET.INFLATE_FROM", path, "VTN.CPU_PROCESSES", "2", "SOLVER.MAX_EPOCH", "1"
    )
    assert run.returncode == 0, run.stderr
    saved = torch.load(checkpoint.checkpoint_path(str(out), 1), weights_only=True)["model_state"]
    expected = network.state_dict()["layer4.0.downsample.0.weight"]
    torch.testing.assert_close(saved["s5.pathway0_res0.branch1.weight"][:, :, 0], expected)
    assert f"training starts from {path}, inflated over time" in run.stdout + run.stderr
