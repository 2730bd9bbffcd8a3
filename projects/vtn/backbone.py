"""The spatial backbone: any 2D network that turns images into vectors, (N, 3, H, W) -> (N, D).

What a named network's vector is, timm decides: the CLS token after the last norm for ViT, DeiT and CLIP; for
a distilled DeiT the mean of its class and its distillation token, each after the last norm; where there is no
such token (ResNet, ConvNeXt, Swin, Hiera) the mean over all positions, with the network's last norm.

timm takes longer to load than PyTorch, so it is loaded where it is asked: a wrong key is told without it.

Shape legend: N images, H and W their height and width in pixels, D width of a feature.
"""

import difflib
import re

import torch
from torch import nn

from .checks import check_probability
from .errors import InputError

ImgSize = int | tuple[int, int]
Normalization = tuple[tuple[float, ...], tuple[float, ...]]


def create_backbone(
    backbone: str | nn.Module,
    *,
    pretrained: bool = False,
    img_size: ImgSize | None = None,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> nn.Module:
    """Make a timm network without its classifier, or take a network that exists already.

    Args:
        backbone: A timm name, with or without the tag of its weights ("resnet50", "resnet50.tv_in1k");
            or a module (N, 3, H, W) -> (N, D), with which pretrained and the two rates make no sense.
        pretrained: Load the published weights (from timm's cache, or over the network).
        img_size: Size of the images, (height, width) or one number for both. Only handed to networks that
            are built for one size, such as ViT, whose position table is then resampled; others take any.
        drop_rate: timm's dropout before the classifier, here on the feature.
        drop_path_rate: Stochastic depth.

    Returns:
        A network (N, 3, H, W) -> (N, D).

    Raises:
        InputError: For an unknown name, weights that cannot be had, or an option that the network lacks.
    """
    check_probability("drop_rate", drop_rate)
    check_probability("drop_path_rate", drop_path_rate)
    options = {"pretrained": pretrained, "drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    options = {name: value for name, value in options.items() if value}  # some networks lack the two rates
    if isinstance(backbone, nn.Module):
        for name, value in options.items():
            kind = type(backbone).__name__
            raise InputError(
                f"{name} {value} needs the name of a timm backbone, not a {kind} module.", arguments=(name,)
            )
        return backbone
    _check_name(backbone)
    return _create_timm(backbone, options if img_size is None else options | {"img_size": img_size})


def _create_timm(name: str, options: dict) -> nn.Module:
    """Call timm.create_model; the two failures that a user can cause become one sentence each."""
    import timm

    try:
        return timm.create_model(name, num_classes=0, **options)
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument(?:\(s\): \[)? ?'(\w+)'", str(error))
        if unknown is None:
            raise
        if unknown[1] == "img_size":  # a network for images of any size
            return _create_timm(name, {key: options[key] for key in options if key != "img_size"})
        raise InputError(
            f"backbone {name} has no option {unknown[1]} ({options[unknown[1]]}).",
            arguments=("backbone", unknown[1]),
        ) from error
    except (OSError, RuntimeError) as error:
        if not options.get("pretrained"):
            raise
        raise InputError(
            f"The published weights of backbone {name} cannot be loaded ({first_clause(error)}); connect to "
            "the network, or set pretrained to False to start from random weights or a checkpoint.",
            arguments=("backbone", "pretrained"),
        ) from error


def first_clause(error: Exception) -> str:
    """The first clause of what an exception says, to stand inside a sentence."""
    return str(error).strip().split("\n")[0].split(". ")[0].rstrip(".")


def _check_name(name: str) -> None:
    """Raise an InputError with the closest names unless timm knows this one."""
    import timm

    if isinstance(name, str) and timm.is_model(name) and ("." not in name or timm.is_model_pretrained(name)):
        return
    known = timm.list_models() + timm.list_models(pretrained=True)
    close = difflib.get_close_matches(str(name), known, n=3)
    hint = f"close names are {', '.join(close)}" if close else "timm.list_models() lists its names"
    raise InputError(f"backbone is {name!r}, which timm does not have; {hint}.", arguments=("backbone",))


def feature_dim(backbone: nn.Module, img_size: ImgSize | None = None) -> int:
    """Find D by passing one black image, without gradients and without touching running statistics.

    timm's attributes are not used: for some networks they give the width before the last projection.

    Args:
        backbone: (N, 3, H, W) -> (N, D).
        img_size: Size of the image; by default what a timm network was made for, else 224.

    Raises:
        InputError: If the network fails on the image, or does not turn it into one vector.
    """
    made_for = fixed_img_size(backbone) or getattr(backbone, "pretrained_cfg", {}).get(
        "input_size", (224, 224)
    )
    size = made_for[-2:] if img_size is None else img_size
    height, width = (size, size) if isinstance(size, int) else size
    like = next(backbone.parameters(), torch.zeros(()))
    image = torch.zeros(1, 3, height, width, device=like.device, dtype=like.dtype)
    was_training = [module for module in backbone.modules() if module.training]
    backbone.eval()
    try:
        with torch.no_grad():
            feature = backbone(image)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"backbone {network_name(backbone)} fails on an image of {height} x {width} pixels "
            f"({first_clause(error)}); img_size must be a size that it takes.",
            arguments=("backbone", "img_size"),
        ) from error
    for module in was_training:
        module.training = True
    if not isinstance(feature, torch.Tensor) or feature.ndim != 2 or len(feature) != 1:
        got = f"shape {tuple(feature.shape)}" if isinstance(feature, torch.Tensor) else type(feature).__name__
        raise InputError(
            f"backbone must map images (1, 3, {height}, {width}) to (1, D), not to {got}.",
            arguments=("backbone",),
        )
    return feature.shape[1]


def network_name(backbone: nn.Module) -> str:
    """timm's name of a network, or the name of its class."""
    return getattr(backbone, "pretrained_cfg", {}).get("architecture") or type(backbone).__name__


def fixed_img_size(backbone: nn.Module) -> tuple[int, int] | None:
    """(height, width) if the network takes images of that size only, as timm's ViTs do; else None."""
    patches = getattr(backbone, "patch_embed", None)
    if not getattr(patches, "strict_img_size", False) or getattr(patches, "img_size", None) is None:
        return None
    return tuple(patches.img_size)


def normalization(backbone: str | nn.Module) -> Normalization | None:
    """Look up how a network expects its images to be normalised.

    Args:
        backbone: A timm name, whose tag matters ("vit_base_patch16_clip_224.openai"; without one,
            timm's default tag), or a module.

    Returns:
        (mean, std), three numbers each: of an image in [0, 1] the mean is subtracted, then it is divided by
        std, channel by channel, RGB. From timm's data config; None for a network that timm did not make.

    Raises:
        InputError: For a name that timm does not know.
    """
    if isinstance(backbone, nn.Module):
        data_config = getattr(backbone, "pretrained_cfg", None) or {}
    else:
        import timm

        _check_name(backbone)
        registered = timm.get_pretrained_cfg(backbone)
        data_config = {} if registered is None else registered.to_dict()
    if "mean" not in data_config:
        return None
    return tuple(data_config["mean"]), tuple(data_config["std"])
