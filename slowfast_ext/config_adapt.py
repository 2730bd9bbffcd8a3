"""What a configuration that was written for another data set needs, to be trained and tested on ours."""

import os
from collections.abc import Sequence

from slowfast_ext.config import merged_config
from slowfast_ext.config_check import OWN_DATASETS
from slowfast_ext.config_limits import refinements_to_switch_off, value_of
from slowfast_ext.distributed import visible_gpus


def on_our_data(path: str | os.PathLike, overrides: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """Find the overrides that put a configuration, such as one of PySlowFast main, onto vtnkinetics.

    The data sets become vtnkinetics unless they are ours. Augmentations that our data sets do not do are
    switched off, and so is mixup where it cannot be done, with the loss that goes with it. NUM_GPUS of the
    file becomes the number of GPUs that PyTorch sees if the file asks for more. A key that is among
    `overrides` is left as it is; if it cannot be honoured, `load_config` refuses it.

    Args:
        path: The YAML file.
        overrides: Keys and values in turn, which go before those that are returned.

    Returns:
        More overrides, keys and values in turn; and what they switch off, such as "AUG.NUM_SAMPLE 2", key and
        value as they were.

    Raises:
        InputError: If the file cannot be read, or a key of it or of `overrides` is not known.
    """
    cfg, given = merged_config(path, overrides), set(overrides[::2])
    off = {key: value for key, value in refinements_to_switch_off(cfg).items() if key not in given}
    changes = {key: str(value) for key, value in off.items()}
    for key in ("TRAIN.DATASET", "TEST.DATASET"):
        if key not in given and value_of(cfg, key) not in OWN_DATASETS:
            changes[key] = "vtnkinetics"
    gpus = visible_gpus()
    if "NUM_GPUS" not in given and gpus < cfg.NUM_GPUS:
        changes["NUM_GPUS"] = str(gpus)
    switched_off = [f"{key} {value_of(cfg, key)}" for key in off]
    return [word for change in changes.items() for word in change], switched_off
