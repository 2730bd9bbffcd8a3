"""VTN for PySlowFast.

Importing this package registers everything where a PySlowFast is installed, also in a spawned process:
model `VTN`, data sets `Vtnkinetics` and `Vtnmit`, and the configuration keys.
"""

import functools


@functools.cache
def register() -> None:
    """Put VTN's model, data sets and keys into PySlowFast's registries; called again, it does nothing.

    Raises:
        vtn.InputError: If no PySlowFast is installed.
    """
    from slowfast_ext.config import add_vtn_config
    from slowfast_ext.data.dataset import Vtnkinetics, Vtnmit
    from slowfast_ext.host import get_host
    from slowfast_ext.models import VTN

    host = get_host()
    for registry, entries in ((host.MODEL_REGISTRY, (VTN,)), (host.DATASET_REGISTRY, (Vtnkinetics, Vtnmit))):
        for entry in entries:
            registry.register(entry)
    host.add_main_keys(host.get_defaults())
    add_vtn_config(host.get_defaults())


def _register_if_possible() -> None:
    """Registration at import; a machine without PySlowFast can still import what does not need it."""
    import importlib.util

    if importlib.util.find_spec("slowfast") is not None:
        register()


_register_if_possible()
