"""Training and testing by PySlowFast main's own loops; by ours where the installation ships no tools/."""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType

from fvcore.common.config import CfgNode
from slowfast.utils import logging

from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.host import get_installation
from slowfast_ext.host.git_checks import thawed
from vtn.errors import InputError

logger = logging.get_logger(__name__)


@functools.cache
def _tool(name: str) -> ModuleType:
    """A module of main's tools/, under the name by which main's own run_net.py imports it."""
    return importlib.import_module(f"vision.fair.slowfast.tools.{name}")


@functools.cache
def _test_tool() -> ModuleType:
    tool = _tool("test_net")
    tool.perform_test = _writing_results(tool.perform_test)
    return tool


@contextlib.contextmanager
def _assertions_told() -> Iterator[None]:
    """main asserts what a list or a checkpoint must be; its sentence is for people, where it was is not."""
    try:
        yield
    except AssertionError as error:
        if not str(error):
            raise
        raise InputError(" ".join(str(error).split())) from error


def train(cfg: CfgNode) -> None:
    """Train and validate: tools/train_net.py of main.

    Args:
        cfg: Complete configuration. Checkpoints and log go to OUTPUT_DIR.
    """
    from slowfast_ext.engine import start
    from slowfast_ext.engine import train as engine

    if get_installation().tools is None:
        engine.train(cfg)
        return
    logging.setup_logging(cfg.OUTPUT_DIR)
    source = start.find_training_source(cfg)
    with _assertions_told():
        _tool("train_net").train(thawed(start.without_needless_download(cfg, source)))
    logger.info("Training done. Checkpoints and log: %s", cfg.OUTPUT_DIR)


def test(cfg: CfgNode) -> None:
    """Multi-view or full-video test: tools/test_net.py of main.

    Args:
        cfg: Complete configuration. Results go to OUTPUT_DIR/test_results.json.
    """
    from slowfast_ext.engine import start
    from slowfast_ext.engine import test as engine

    if get_installation().tools is None:
        engine.test(cfg)
        return
    logging.setup_logging(cfg.OUTPUT_DIR)
    source = start.find_test_source(cfg)
    with _assertions_told():
        _test_tool().test(thawed(start.without_needless_download(cfg, source)))
    logger.info("Results and log: %s", cfg.OUTPUT_DIR)


def _writing_results(perform_test: Callable) -> Callable:
    """Main's test, and the files that ours writes in place of a pickle."""

    @functools.wraps(perform_test)
    def perform(test_loader, model, test_meter, cfg, writer=None):
        if not isinstance(test_loader, VideoLoader):
            return perform_test(test_loader, model, test_meter, cfg, writer)
        from slowfast_ext.engine.test import write_results

        without_pickle = thawed(cfg)
        without_pickle.TEST.SAVE_RESULTS_PATH = ""
        test_meter = perform_test(test_loader, model, test_meter, without_pickle, writer)
        write_results(test_meter, test_loader, cfg)
        return test_meter

    return perform
