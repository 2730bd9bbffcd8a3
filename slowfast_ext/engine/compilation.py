"""torch.compile of the parts of a VTN whose shapes say what they compute."""

from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.distributed import unwrap


def compile_parts(model: nn.Module, cfg: CfgNode, **options) -> None:
    """Compile backbone and temporal encoder in place if VTN.COMPILE; no name of a parameter changes.

    Clips differ in their number of distinct frames: PyTorch compiles for the first number that it sees, and
    for any number once it has seen a second one. The temporal encoder is compiled once more for videos longer
    than a block of its attention, and for each length beyond FRAMES_PER_PART.

    Args:
        model: Wrapped for several processes or not; its costs are counted already, which compiled code hides.
        cfg: Keys MODEL.MODEL_NAME and VTN.COMPILE.
        **options: For torch.compile.
    """
    if cfg.MODEL.MODEL_NAME == "VTN" and cfg.VTN.COMPILE:
        for part in (unwrap(model).backbone, unwrap(model).temporal_encoder):
            part.compile(**options)
