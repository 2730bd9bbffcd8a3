"""Multiply-adds of one view, counted without computing it.

The model is copied to PyTorch's meta device, so a 250-frame SlowFast takes seconds and no memory, and every
operator that runs is seen, fused attention included. One multiply-add counts as one, as in PySlowFast and in
the paper's table 4. The paper's numbers are those of convolutions and linear layers; products of two
activations (attention, non-local blocks) are reported beside them.
"""

import copy
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from fvcore.common.config import CfgNode
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from slowfast_ext.data.sampling import slow_pathway_indices


@dataclass(frozen=True)
class FlopCount:
    """Multiply-adds of one forward pass, in units of 1e9.

    Attributes:
        conv_linear: Convolutions and linear layers.
        products: Matrix products of two activations: attention and non-local blocks.
    """

    conv_linear: float
    products: float

    @property
    def total(self) -> float:
        """All that is counted."""
        return self.conv_linear + self.products


def view_shape(cfg: CfgNode, *, train: bool) -> tuple[int, int]:
    """Frames and crop size of one training clip, or of one view of the configured test protocol."""
    if train:
        return cfg.DATA.NUM_FRAMES, cfg.DATA.TRAIN_CROP_SIZE
    frames = cfg.TRAIN.EVAL_NUM_FRAMES if cfg.TRAIN.EVAL_FULL_VIDEO else cfg.DATA.NUM_FRAMES
    return frames, cfg.DATA.TEST_CROP_SIZE


def example_inputs(cfg: CfgNode, num_frames: int, crop_size: int, device: str = "cpu") -> list[torch.Tensor]:
    """Inputs of one view, batch 1, packed as the data set packs them for this model."""
    clip = torch.zeros(1, 3, num_frames, crop_size, crop_size, device=device)
    if cfg.MODEL.ARCH in cfg.MODEL.MULTI_PATHWAY_ARCH:
        slow = slow_pathway_indices(num_frames, alpha=cfg.SLOWFAST.ALPHA)
        return [clip[:, :, : len(slow)], clip]
    return [clip]


def count_flops(model: nn.Module, inputs: list[torch.Tensor]) -> FlopCount:
    """Count one evaluation-mode forward pass of `model(inputs)`.

    Args:
        model: Any module; it is not changed.
        inputs: Only the shapes matter.
    """
    twin = copy.deepcopy(model).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        twin([x.to("meta") for x in inputs])
    by_operator = counter.get_flop_counts()["Global"]
    products = sum(n for op, n in by_operator.items() if _is_product(op))
    return FlopCount(
        conv_linear=(sum(by_operator.values()) - products) / 2e9,
        products=products / 2e9,
    )


def _is_product(operator) -> bool:
    """True for products of two activations; a linear layer runs as mm or addmm, a convolution as itself."""
    name = str(operator)
    return "bmm" in name or "attention" in name


def count_parameters(model: nn.Module) -> int:
    """All parameters, trained or not."""
    return sum(parameter.numel() for parameter in model.parameters())


def model_row(path: str) -> dict[str, str]:
    """What one configuration costs at test time; nothing is downloaded or computed."""
    from slowfast_ext.config import load_config
    from slowfast_ext.host import get_host

    cfg = load_config(path, ["NUM_GPUS", "0", "VTN.PRETRAINED", "False", "OUTPUT_DIR", tempfile.gettempdir()])
    with torch.device("meta"):
        model = get_host().MODEL_REGISTRY.get(cfg.MODEL.MODEL_NAME)(cfg)
    frames, crop = view_shape(cfg, train=False)
    views = cfg.TEST.NUM_ENSEMBLE_VIEWS * cfg.TEST.NUM_SPATIAL_CROPS
    count = count_flops(model, example_inputs(cfg, frames, crop, device="meta"))
    return {
        "configuration": Path(path).stem,
        "params (M)": f"{count_parameters(model) / 1e6:.2f}",
        "view": f"{frames} x {crop}²",
        "views": str(views),
        "GFLOPs x views": f"{count.conv_linear * views:.0f}",
        "attention, non-local": f"{count.products * views:.0f}",
    }


def main(paths: list[str]) -> None:
    """Print a Markdown table, one row for each configuration."""
    for number, path in enumerate(paths):
        row = model_row(path)
        if number == 0:
            print("| " + " | ".join(row) + " |\n" + "|---" * len(row) + "|")
        print("| " + " | ".join(row.values()) + " |", flush=True)


if __name__ == "__main__":
    from slowfast_ext.cli import run_safely

    run_safely(lambda: main(sys.argv[1:]))
