"""The classification head, which reads the state of CLS."""

from torch import nn

from .checks import check_positive_int, check_probability
from .errors import InputError

HEAD_INITS = ("release", "paper")


class ClassificationHead(nn.Sequential):
    """LayerNorm, Linear, GELU, Dropout, Linear: (B, D) -> logits (B, K).

    The positions in the sequence name the weights ("0", "1", "4") as they do in the authors' release.

    Args:
        embed_dim: D.
        mlp_dim: Hidden width.
        num_classes: K.
        dropout: Probability of dropping a hidden unit.
        init: How the linear layers start: "release", by PyTorch's defaults as in the authors' code, or
            "paper", weights from N(0, 0.02) and biases of 0.

    Source: VTN (arXiv:2102.00719) Sec. 3.3; "paper" is Sec. 4.1.
    """

    def __init__(
        self, embed_dim: int, mlp_dim: int, num_classes: int, dropout: float, init: str = "release"
    ) -> None:
        check_positive_int("mlp_dim", mlp_dim)
        check_positive_int("num_classes", num_classes)
        check_probability("head_dropout", dropout)
        super().__init__(
            nn.LayerNorm(embed_dim, eps=1e-5),
            nn.Linear(embed_dim, mlp_dim),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(mlp_dim, num_classes),
        )
        if init not in HEAD_INITS:
            raise InputError(
                f"head_init must be {' or '.join(HEAD_INITS)}, not {init!r}.", arguments=("head_init",)
            )
        if init == "paper":
            for layer in (self[1], self[4]):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
