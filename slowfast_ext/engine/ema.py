"""An average of the weights over the steps of a training, timm's. It is what validation and test then see."""

from fvcore.common.config import CfgNode
from timm.utils import ModelEmaV3
from torch import nn

from vtn.errors import InputError


def make_average(model: nn.Module, cfg: CfgNode) -> ModelEmaV3 | None:
    """Make the average that TRAIN.EMA_DECAY asks for, equal to the model; None where it is 0.

    After each step a weight of the average is EMA_DECAY times what it was, plus the rest of the model's.
    Statistics of batch norms are averaged in the same way, counters are copied.

    Args:
        model: Not wrapped; of several processes all have the same average.
        cfg: Key TRAIN.EMA_DECAY.

    Raises:
        InputError: If the model has nothing that is trained.
    """
    decay = cfg.TRAIN.EMA_DECAY
    if not decay:
        return None
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(
            f"TRAIN.EMA_DECAY is {decay}, but nothing of this model is trained: add TRAIN.EMA_DECAY 0"
        )
    return ModelEmaV3(model, decay=decay)
