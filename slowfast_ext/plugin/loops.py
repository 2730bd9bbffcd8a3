"""Training and testing with the loops that ENGINE asks for: PySlowFast's own, or ours."""

import importlib
from types import ModuleType

from fvcore.common.config import CfgNode

from slowfast_ext import distributed
from slowfast_ext.config_limits import uses_own_loops
from slowfast_ext.host import get_host
from slowfast_ext.plugin.announce import begin_log


def train(cfg: CfgNode) -> None:
    """Train and validate.

    Args:
        cfg: Complete configuration. Checkpoints and log go to OUTPUT_DIR.
    """
    _loops(cfg, "train").train(cfg)


def test(cfg: CfgNode) -> None:
    """Test on several views or on the full video.

    Args:
        cfg: Complete configuration. Results go to OUTPUT_DIR/test_results.json.
    """
    _loops(cfg, "test").test(cfg)


def _loops(cfg: CfgNode, what: str) -> ModuleType:
    """The module that trains or tests."""
    distributed.settle(cfg)
    begin_log(cfg)
    own = uses_own_loops(cfg)
    return importlib.import_module(
        f"slowfast_ext.engine.{what}" if own else f"slowfast_ext.plugin.{get_host().NAME}_loops"
    )
