"""What training may ask of a backbone: activations that are computed again, a rate for each layer."""

from types import SimpleNamespace

from torch import nn

from .backbone import network_name
from .errors import InputError


def recompute_activations(backbone: nn.Module) -> None:
    """Let a network keep only what lies between its blocks, and compute the rest again in the backward pass.

    This is timm's gradient checkpointing: less memory for about a third more time, and the same gradients.

    Args:
        backbone: A timm network; changed in place.

    Raises:
        InputError: If timm cannot do it for this network, or if it would change what the network learns.
    """
    name = network_name(backbone)
    if any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in backbone.modules()):
        raise InputError(
            f"The activations of backbone {name} cannot be computed again: its batch norms would count every "
            "batch twice.",
            arguments=("backbone",),
        )
    try:
        backbone.set_grad_checkpointing(True)
    except (AttributeError, AssertionError, NotImplementedError, TypeError) as error:
        raise InputError(
            f"The activations of backbone {name} cannot be computed again: timm does not offer it for this "
            "network.",
            arguments=("backbone",),
        ) from error


def layer_scales(backbone: nn.Module, layer_decay: float) -> dict[nn.Parameter, float]:
    """For every trained weight of a backbone, what its learning rate is to be multiplied with.

    Args:
        backbone: A timm network, whose layers timm knows.
        layer_decay: Factor from each layer to the one below it, counted from what the network feeds: that
            stands in the place of a classifier, which has the full rate.

    Raises:
        InputError: If timm does not know the layers of this network.

    Source: timm's grouping, after BEiT (arXiv:2106.08254).
    """
    from timm.models import group_parameters  # see backbone.py

    if not hasattr(backbone, "group_matcher"):
        raise InputError(
            f"The layers of backbone {network_name(backbone)} cannot have rates of their own: timm does not "
            "say which they are.",
            arguments=("backbone",),
        )
    # With the classifier that it does not have: what stands in its place is the last layer.
    classifier = backbone.pretrained_cfg.get("classifier") or "head"
    head = f"{classifier if isinstance(classifier, str) else classifier[0]}.weight"
    whole = SimpleNamespace(named_parameters=lambda: [*backbone.named_parameters(), (head, None)])
    layers = group_parameters(whole, backbone.group_matcher(coarse=False), reverse=True)
    last = layers[head]
    return {
        parameter: layer_decay ** (last - layers[name])
        for name, parameter in backbone.named_parameters()
        if parameter.requires_grad
    }
