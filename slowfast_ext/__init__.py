"""VTN for PySlowFast.

Importing this package loads nothing. The first use of a PySlowFast through it, such as `register()`, cures
the one that is installed, in memory, and registers VTN in it: model `VTN`, data sets `Vtnkinetics`, `Vtnmit`
and `Vtnsegments`, and the configuration keys.
"""

from typing import Any

from slowfast_ext.plugs import when_loaded
from slowfast_ext.version import __version__

__all__ = ["__version__", "register"]


@when_loaded
def _plug_in(host: Any) -> None:
    from slowfast_ext.plugin import plug_in

    plug_in(host)


def register() -> None:
    """Put VTN's model, data sets and keys into PySlowFast's registries; called again, it does nothing.

    Raises:
        InputError: If no PySlowFast is installed, or it cannot be used; says what to do, at each call.
    """
    from slowfast_ext.host import get_host

    get_host()
