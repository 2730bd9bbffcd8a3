"""Training and testing by PySlowFast main's own loops, with the files that ours write."""

import contextlib
import functools
import importlib
import itertools
import logging as python_logging
import re
from collections.abc import Callable, Iterator
from types import ModuleType

from fvcore.common.config import CfgNode
from slowfast.utils import checkpoint as cu
from slowfast.utils import logging, misc
from torch import nn

from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.engine import facts, run_files, start
from slowfast_ext.engine.test import write_results
from slowfast_ext.host.git_cpu import in_mains_terms
from slowfast_ext.host.git_models import thawed
from slowfast_ext.host.metrics import ks_that_tell
from vtn.errors import InputError

logger = logging.get_logger(__name__)
_mains_log_model_info = misc.log_model_info


@functools.cache
def _tool(name: str) -> ModuleType:
    """A module of main's tools/, under the name by which main's own run_net.py imports it."""
    tool = importlib.import_module(f"vision.fair.slowfast.tools.{name}")
    tool.logger.addFilter(_short)
    misc.log_model_info = _log_model_info
    return tool


class _Short(python_logging.Filter):
    """Keeps the configuration, which is in a file, and the top-5 of few classes out of main's log."""

    num_classes = 0

    def filter(self, record: python_logging.LogRecord) -> bool:
        """Whether the line is logged; it may lose a part."""
        if isinstance(record.msg, CfgNode):
            return False
        text = str(record.msg)
        if 5 not in ks_that_tell(self.num_classes):
            record.msg = re.sub(r" Top5 Acc: \S+", "", text)
        return not text.startswith(("Train with config:", "Test with config:", "CfgNode("))


_short = _Short()


@contextlib.contextmanager
def _first_epoch_saved() -> Iterator[None]:
    """Within, main also saves after the first epoch of a run, not only every TRAIN.CHECKPOINT_PERIOD."""
    is_checkpoint_epoch, epochs = cu.is_checkpoint_epoch, itertools.count()

    def is_first_or_checkpoint_epoch(*args, **kwargs) -> bool:
        return next(epochs) == 0 or is_checkpoint_epoch(*args, **kwargs)

    cu.is_checkpoint_epoch = is_first_or_checkpoint_epoch
    try:
        yield
    finally:
        cu.is_checkpoint_epoch = is_checkpoint_epoch


def _log_model_info(model: nn.Module, cfg: CfgNode, use_train_input: bool = True) -> tuple[float, int]:
    """Replace main's: GFLOPs of one view, counted in our way, and parameters."""
    if not facts.is_counted(cfg):
        python_logging.getLogger("fvcore.nn.jit_analysis").setLevel(python_logging.ERROR)
        return _mains_log_model_info(model, cfg, use_train_input)
    facts.log_model_info(model, cfg, train=use_train_input)
    found = facts.model_facts(model, cfg, train=use_train_input)
    return found.gflops_per_view, found.parameters


@functools.cache
def _test_tool() -> ModuleType:
    tool = _tool("test_net")
    tool.perform_test = _writing_results(tool.perform_test)
    return tool


@contextlib.contextmanager
def _assertions_told() -> Iterator[None]:
    """Where main asserts what a list or a checkpoint must be, show its message, not its traceback."""
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
    source = start.find_training_source(cfg)
    _short.num_classes = cfg.MODEL.NUM_CLASSES
    with run_files.training_record(cfg, source), _assertions_told(), _first_epoch_saved():
        _tool("train_net").train(in_mains_terms(start.without_needless_download(cfg, source)))
    logger.info("Training done. Checkpoints and log: %s", cfg.OUTPUT_DIR)


def test(cfg: CfgNode) -> None:
    """Multi-view or full-video test: tools/test_net.py of main.

    Args:
        cfg: Complete configuration. Results go to OUTPUT_DIR/test_results.json.
    """
    # Checkpoints of its own tasks have other names, and it may keep them elsewhere than on a disk.
    found_by_main = bool(cfg.TASK) or "://" in cfg.OUTPUT_DIR
    source = start.find_test_source(cfg, required=not found_by_main)
    run_files.write_test_config(cfg)
    _short.num_classes = cfg.MODEL.NUM_CLASSES
    with _assertions_told():
        _test_tool().test(in_mains_terms(start.without_needless_download(cfg, source)))
    logger.info("Results and log: %s", cfg.OUTPUT_DIR)


def _writing_results(perform_test: Callable) -> Callable:
    """Run main's test, then write the files that ours writes in place of a pickle."""

    @functools.wraps(perform_test)
    def perform(test_loader, model, test_meter, cfg, writer=None):
        if cfg.DETECTION.ENABLE:
            return perform_test(test_loader, model, test_meter, cfg, writer)
        test_meter.facts = facts.facts_for_log(model, cfg, train=False)
        without_pickle = thawed(cfg)
        if isinstance(test_loader, VideoLoader):
            without_pickle.TEST.SAVE_RESULTS_PATH = ""
        test_meter = perform_test(test_loader, model, test_meter, without_pickle, writer)
        write_results(test_meter, test_loader, model, cfg)
        return test_meter

    return perform
