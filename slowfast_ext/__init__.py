"""VTN for PySlowFast.

`register()` cures the PySlowFast that is installed, in memory, and registers everything in it: model `VTN`,
data sets `Vtnkinetics` and `Vtnmit`, and the configuration keys. Importing this package calls it where that
is possible, also in a spawned process; where it is not, a call of it says why.
"""

import contextlib
import functools


@functools.cache
def register() -> None:
    """Put VTN's model, data sets and keys into PySlowFast's registries; called again, it does nothing.

    Raises:
        vtn.InputError: If no PySlowFast is installed, or it cannot be used; says what to do.
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
    """Registration at import: a machine where it fails can still import what does not need it."""
    # Whatever is wrong is said by the next call of register(), and by slowfast_ext.doctor, which must start.
    with contextlib.suppress(Exception):
        register()


_register_if_possible()
