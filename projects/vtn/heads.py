"""The classification head, which reads the state of CLS."""

from torch import nn

from .checks import check_positive_int, check_probability


class ClassificationHead(nn.Sequential):
    """LayerNorm, Linear, GELU, Dropout, Linear: (B, D) -> logits (B, K).

    The positions in the sequence name the weights ("0", "1", "4") as they do in the authors' release.

    Args:
        embed_dim: D.
        mlp_dim: Hidden width.
        num_classes: K.
        dropout: Probability of dropping a hidden unit.

    Source: VTN (arXiv:2102.00719) Sec. 3.3; weights start as the authors' do, by PyTorch's defaults.
    """

    def __init__(self, embed_dim: int, mlp_dim: int, num_classes: int, dropout: float) -> None:
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
