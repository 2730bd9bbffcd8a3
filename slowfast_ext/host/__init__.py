"""The PySlowFast beneath: which one is installed, and one interface to it.

`get_host()` returns a module. Every host module has the same names (`wheel.py`'s `__all__` lists them), so
the rest of the project never asks which PySlowFast it runs on. Everything that differs between PySlowFasts,
and every patch, lives in this package.
"""

import functools
import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

from slowfast_ext.host.patches import apply_stubs
from vtn.errors import InputError


@functools.cache
def get_host() -> ModuleType:
    """Find PySlowFast, cure it in memory and return its module of this package.

    Raises:
        InputError: If no PySlowFast, or one that this version does not know, is installed.
    """
    spec = importlib.util.find_spec("slowfast")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("PySlowFast is not installed: type `pip install pyslowfast==1.0`")
    models = Path(spec.submodule_search_locations[0]) / "models"
    if not (models / "model_builder.py").exists():
        raise InputError(
            f"the PySlowFast in {models.parent} is not the wheel 1.0, the only one this version bridges: "
            "type `pip install pyslowfast==1.0` in an environment without the other"
        )
    apply_stubs()
    with warnings.catch_warnings():
        # fvcore, which the wheel imports, scripts functions, and PyTorch warns of each.
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=FutureWarning)
        from slowfast_ext.host import wheel

    return wheel
