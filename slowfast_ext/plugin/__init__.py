"""Where VTN is put into a PySlowFast: the one place that knows both.

`plug_in` reads like a list of what is put in. Repairs of what is broken are no part of it: they are cures, in
`slowfast_ext.host`.
"""

import functools
import importlib
from typing import TYPE_CHECKING

from slowfast_ext.config import add_vtn_config
from slowfast_ext.data.dataset import Vtnkinetics, Vtnmit
from slowfast_ext.data.segment_videos import Vtnsegments
from slowfast_ext.models import VTN

if TYPE_CHECKING:
    from slowfast_ext.host.interface import Host


def plug_in(host: "Host") -> None:
    """Put VTN into a PySlowFast that is ready for use. Called again, it does nothing.

    Args:
        host: What `get_host()` returns.
    """
    datasets = Vtnkinetics, Vtnmit, Vtnsegments
    for registry, entries in ((host.MODEL_REGISTRY, (VTN,)), (host.DATASET_REGISTRY, datasets)):
        for entry in entries:
            if entry.__name__ not in registry:
                registry.register(entry)
    if "VTN" not in host.get_defaults():
        host.add_main_keys(host.get_defaults())
        add_vtn_config(host.get_defaults())
    _replace_functions(host.NAME)


@functools.cache
def _replace_functions(name: str) -> None:
    """Put our loader, checkpoint rule and configuration where this PySlowFast's own code looks for them."""
    importlib.import_module(f"slowfast_ext.plugin.{name}").replace_functions()
