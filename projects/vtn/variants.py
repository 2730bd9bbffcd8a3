"""The paper's models by name."""

import difflib

from .errors import InputError
from .model import VTN

# The paper's models (Tables 1 and 3). Widths are those that give its parameter counts: 114 / 96 / 10 / 168 /
# 187 M; the paper states 12 heads, which do not divide a ResNet's 2048, where 16 is the nearest that does.
VARIANTS = {
    "vtn_vit_b": {"backbone": "vit_base_patch16_224.orig_in21k_ft_in1k"},
    "vtn_vit_b_1layer": {"backbone": "vit_base_patch16_224.orig_in21k_ft_in1k", "num_layers": 1},
    "vtn_deit_b": {"backbone": "deit_base_patch16_224.fb_in1k"},
    "vtn_deit_bd": {"backbone": "deit_base_distilled_patch16_224.fb_in1k"},
    "vtn_deit_ti": {"backbone": "deit_tiny_patch16_224.fb_in1k", "ffn_dim": 3072},
    "vtn_r50": {"backbone": "resnet50.tv_in1k", "num_heads": 16, "ffn_dim": 4096},
    "vtn_r101": {"backbone": "resnet101.tv_in1k", "num_heads": 16, "ffn_dim": 4096},
}


def create_model(name: str, num_classes: int = 400, *, pretrained: bool = False, **overrides) -> VTN:
    """Make one of the paper's models.

    Args:
        name: A key of VARIANTS, such as "vtn_vit_b".
        num_classes: K.
        pretrained: Load the backbone's ImageNet weights; the temporal encoder and the head start at random.
        **overrides: Any argument of VTN, in place of the variant's.

    Raises:
        InputError: For an unknown name; the sentence lists the known ones.
    """
    if name not in VARIANTS:
        close = difflib.get_close_matches(str(name), VARIANTS, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; vtn.VTN(name, ...) takes any timm network."
        raise InputError(f"There is no model named {name!r} among {', '.join(VARIANTS)}{hint}")
    return VTN(num_classes=num_classes, pretrained=pretrained, **{**VARIANTS[name], **overrides})
