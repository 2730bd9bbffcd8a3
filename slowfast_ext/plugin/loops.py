"""Training and testing with the loops that ENGINE asks for: PySlowFast's own, or ours."""

import contextlib
import importlib
from types import ModuleType

from fvcore.common.config import CfgNode

from slowfast_ext import distributed
from slowfast_ext.config_limits import uses_own_loops
from slowfast_ext.host import get_host
from slowfast_ext.plugin.announce import begin_log
from slowfast_ext.run_lock import alone_in_folder


def train(cfg: CfgNode) -> None:
    """Train and validate.

    Args:
        cfg: Complete configuration. Checkpoints and log go to OUTPUT_DIR.

    Raises:
        InputError: If another training uses OUTPUT_DIR, among others.
    """
    distributed.settle(cfg)
    lock = alone_in_folder(cfg.OUTPUT_DIR) if distributed.is_master() else contextlib.nullcontext("")
    with lock as taken_over:
        loops = _loops(cfg, "train")
        if taken_over:
            get_host().get_logger(__name__).warning(taken_over)
        loops.train(cfg)


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
