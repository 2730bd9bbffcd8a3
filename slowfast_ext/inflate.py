"""RESNET.INFLATE_FROM: a PySlowFast ResNet (C2D, I3D, Slow) starts from an image network (arXiv 1705.07750).

A 2D kernel is repeated over time and divided by the number of repetitions, so a video that stands still has
the features of its one frame. Every part of the image network has one place in the video network, and
computes the same there; only its classifier is left out. What the video network alone has, the head and
non-local blocks, starts as it does without this key.
"""

import os
import re
from collections.abc import Iterator

import torch
from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.host import get_host
from slowfast_ext.host.checkpoint import inflate_kernels, is_new_in_video
from slowfast_ext.host.places import list_saved
from vtn import checkpoint as vtn_checkpoint
from vtn.backbone import create_backbone, first_clause
from vtn.errors import InputError

KEY = "RESNET.INFLATE_FROM"
_FILES = (".pth", ".pt", ".pyth", ".bin", ".safetensors")
_CLASSIFIER = "fc"
# Parts of timm's and torchvision's ResNets, and their places in PySlowFast's.
_PLACES = (
    (r"conv1", "s1.pathway0_stem.conv"),
    (r"bn1", "s1.pathway0_stem.bn"),
    (r"maxpool", "s1.pathway0_stem.pool_layer"),
    (r"layer(\d)\.(\d+)\.conv(\d)", "s{stage}.pathway0_res{block}.branch2.{letter}"),
    (r"layer(\d)\.(\d+)\.bn(\d)", "s{stage}.pathway0_res{block}.branch2.{letter}_bn"),
    (r"layer(\d)\.(\d+)\.downsample\.0", "s{stage}.pathway0_res{block}.branch1"),
    (r"layer(\d)\.(\d+)\.downsample\.1", "s{stage}.pathway0_res{block}.branch1_bn"),
)
# What decides, besides the weights, what a part computes on a frame.
_SETTINGS = {
    nn.Conv2d: ("kernel_size", "stride", "padding", "dilation", "groups"),
    nn.BatchNorm2d: ("eps",),
    nn.MaxPool2d: ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    nn.ReLU: (),
    nn.Identity: (),
}


def inflates(cfg: CfgNode) -> bool:
    """Whether a model of this configuration starts from an image network."""
    return bool(cfg.RESNET.INFLATE_FROM) and cfg.MODEL.MODEL_NAME == "ResNet"


def check_inflation(cfg: CfgNode) -> None:
    """Refuse an image network that does not fit the model, before anything is fetched.

    Both are built without memory. Of a file the weights are compared, unless no run of `cfg` will read it.

    Raises:
        InputError: Names RESNET.INFLATE_FROM, its value, and what does not fit.
    """
    name, model_name = cfg.RESNET.INFLATE_FROM, cfg.MODEL.MODEL_NAME
    if not name:
        return
    if model_name != "ResNet":
        raise InputError(
            f"{KEY} is {name!r}: only MODEL.MODEL_NAME ResNet (i3d, c2d, slow) starts from an image network, "
            f"not {model_name}"
        )
    if cfg.RESNET.STRIDE_1X1:
        raise InputError(
            f"{KEY} is {name!r}: RESNET.STRIDE_1X1 must be False, because timm's and torchvision's networks "
            "have their strides in the 3x3 convolutions"
        )
    non_local = any(blocks for stage in cfg.NONLOCAL.LOCATION for blocks in stage)
    if non_local and not cfg.RESNET.ZERO_INIT_FINAL_BN:
        raise InputError(
            f"{KEY} is {name!r}: RESNET.ZERO_INIT_FINAL_BN must be True, so that new non-local blocks pass "
            "the image network's features on unchanged"
        )
    plain = f"resnet{cfg.RESNET.DEPTH}" if _is_file(name) else name
    image = _image_network(plain)
    with torch.device("meta"):
        video = get_host().bare_model(cfg)
    if not _is_file(name):
        _place(image.state_dict(), video.state_dict(), cfg)
    elif os.path.isfile(name) or _will_be_read(cfg):
        _place(_read(name), video.state_dict(), cfg)
    for difference in _differences(image, video):
        raise InputError(_misfit(cfg, difference))


def inflate_from_images(model: nn.Module, cfg: CfgNode) -> None:
    """Fill a model with the weights of RESNET.INFLATE_FROM, in place; the log names what is new.

    Args:
        model: MODEL.MODEL_NAME ResNet of the configuration, not wrapped.
        cfg: Key RESNET.INFLATE_FROM; if it is empty, nothing is done.

    Raises:
        InputError: If the weights cannot be had or do not fit.
    """
    if not inflates(cfg):
        return
    name, target = cfg.RESNET.INFLATE_FROM, model.state_dict()
    found = _read(name) if _is_file(name) else _image_network(name, pretrained=True).state_dict()
    placed = _place(found, target, cfg)
    model.load_state_dict(target | inflate_kernels(placed, target))
    new = sorted({re.sub(r"(nonlocal\d+|^head)\..*", r"\1", n) for n in target if is_new_in_video(n)})
    get_host().get_logger(__name__).info(
        "%s %s: %d weights inflated, all but its classifier; new: %s", KEY, name, len(placed), ", ".join(new)
    )


def _is_file(name: str) -> bool:
    return name.endswith(_FILES) or os.sep in name or os.path.isfile(name)


def _will_be_read(cfg: CfgNode) -> bool:
    """Whether a run starts from the image network: a test and a continued training do not."""
    continued = cfg.TRAIN.AUTO_RESUME and list_saved(cfg.OUTPUT_DIR)
    return cfg.TRAIN.ENABLE and not continued and not cfg.TRAIN.CHECKPOINT_FILE_PATH


def _image_network(name: str, *, pretrained: bool = False) -> nn.Module:
    """timm's network of that name, without its classifier; without memory unless `pretrained`."""
    try:
        with torch.device("cpu" if pretrained else "meta"):
            network = create_backbone(name, pretrained=pretrained)
    except InputError as error:
        if "pretrained" not in error.arguments:
            raise InputError(str(error).replace("backbone", KEY, 1)) from error
        raise InputError(
            f"{KEY} is {name!r}: the published weights cannot be loaded ({first_clause(error.__cause__)}); "
            "connect to the network, name a file of such weights, or leave the key empty"
        ) from error
    if not any(network.pretrained_cfg.get(source) for source in ("url", "hf_hub_id", "file")):
        raise InputError(f"{KEY} is {name!r}, for which timm has no published weights")
    return network


def _read(path: str) -> dict[str, torch.Tensor]:
    """The weights in a file, under its own names."""
    if not os.path.isfile(path):
        raise InputError(f"{KEY} is {path!r}: no such file")
    return vtn_checkpoint.weights_of(vtn_checkpoint.read_checkpoint(path), path)


def _place_of(name: str) -> str | None:
    """Where a part of the image network is in the video network; None if it has no place."""
    for pattern, place in _PLACES:
        found = re.fullmatch(pattern, name)
        if found:
            stage, block, number, *_ = (*map(int, found.groups()), 0, 0, 0)
            return place.format(stage=stage + 1, block=block, letter=" abc"[number] if number < 4 else "?")
    return None


def _place(
    found: dict[str, torch.Tensor], target: dict[str, torch.Tensor], cfg: CfgNode
) -> dict[str, torch.Tensor]:
    """Weights of the image network under the names of the video network.

    Args:
        found: All weights of the image network; those of its classifier are left out.
        target: The video network's state dict; both may be on the meta device.
        cfg: For the sentence.

    Raises:
        InputError: Unless every weight of one has its place, and its shape but for time, in the other.
    """
    placed = {}
    for name, weight in found.items():
        part, _, kind = name.rpartition(".")
        if part == _CLASSIFIER:
            continue
        place = f"{_place_of(part)}.{kind}"
        if place not in target:
            raise InputError(_misfit(cfg, f"it has {name}, which has no place in the model"))
        there, here = tuple(weight.shape), tuple(target[place].shape)
        if there != (here[:2] + here[3:] if len(here) == 5 else here):
            raise InputError(_misfit(cfg, f"its {name} is {there}, and the model's {place} is {here}"))
        placed[place] = weight
    # Older files do not count batches; the counter starts at 0 then, as in PyTorch.
    counted = "num_batches_tracked"
    missing = [n for n in target if n not in placed and not is_new_in_video(n) and not n.endswith(counted)]
    if missing:
        raise InputError(_misfit(cfg, f"it has nothing for the model's {missing[0]}"))
    return placed


def _differences(image: nn.Module, video: nn.Module) -> Iterator[str]:
    """Clauses that say which parts of the image network compute something else than the video network's."""
    from timm.models.resnet import ResNet  # see vtn/backbone.py

    if type(image) is not ResNet:
        yield f"it is a {type(image).__name__}"
    parts = dict(video.named_modules())
    for name, part in image.named_modules():
        if list(part.children()) or name.split(".")[0] in ("global_pool", _CLASSIFIER):
            continue
        settings, place = _SETTINGS.get(type(part)), _place_of(name)
        if settings is None or (settings and place is None):
            yield f"its {name} is {type(part).__name__}"
            continue
        for setting in settings:
            there = _on_a_frame(getattr(part, setting))
            here = _on_a_frame(getattr(parts[place], setting))
            if there != here:
                yield f"the {setting} of its {name} is {there}, and {here} in the model"


def _on_a_frame(value: object) -> object:
    """A setting without its number for time, which comes first: one number if height and width agree."""
    if isinstance(value, (list, tuple)):
        height, width = value[-2:]
        return height if height == width else (height, width)
    return value


def _misfit(cfg: CfgNode, difference: str) -> str:
    node = cfg.RESNET
    return (
        f"{KEY} is {node.INFLATE_FROM!r}: {difference}; it must be a plain ResNet of the model's size, "
        f"RESNET.DEPTH {node.DEPTH} and RESNET.WIDTH_PER_GROUP {node.WIDTH_PER_GROUP}"
    )
