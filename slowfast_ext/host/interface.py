"""What both PySlowFasts give to the rest of the project: `wheel` and `git` are modules with these names."""

from collections.abc import Callable
from logging import Logger
from typing import Any, Protocol

import torch
from fvcore.common.config import CfgNode
from fvcore.common.registry import Registry
from torch import nn


class Host(Protocol):
    """One PySlowFast, cured.

    Attributes:
        NAME: "wheel" or "git", which tests ask for.
        MODEL_REGISTRY: Models by MODEL.MODEL_NAME, called with a configuration.
        DATASET_REGISTRY: Data sets by {TRAIN,TEST}.DATASET with its first letter capital, called with a
            configuration and a split.
        TrainMeter: Class of the meter of a training; made with iterations of an epoch and a configuration.
        ValMeter: Class of the meter of the validations; likewise.
        TestMeter: Class of the meter of a test; made with videos, views of each, classes and iterations.
    """

    NAME: str
    MODEL_REGISTRY: Registry
    DATASET_REGISTRY: Registry
    TrainMeter: type
    ValMeter: type
    TestMeter: type

    def add_main_keys(self, cfg: CfgNode) -> None:
        """Add what PySlowFast main has and this one lacks to the configuration, in place."""

    def get_defaults(self) -> CfgNode:
        """The node that PySlowFast's own get_cfg() clones: keys added to it are known everywhere."""

    def finalize_cfg(self, cfg: CfgNode) -> None:
        """Check what only this PySlowFast knows, and infer what it infers, in place."""

    def check_lists(self, cfg: CfgNode) -> None:
        """Refuse lists that PySlowFast's own data set would misread."""

    def has_loops(self) -> bool:
        """Whether it ships loops for training and testing of its own."""

    def bare_model(self, cfg: CfgNode) -> nn.Module:
        """Build the model that MODEL.MODEL_NAME names, on no particular device and without a wrapper."""

    def build_model(self, cfg: CfgNode, gpu_id: int | None = None) -> nn.Module:
        """Build the model, move it to this process's device or that GPU, wrap it for several processes."""

    def build_dataset(self, name: str, cfg: CfgNode, split: str) -> torch.utils.data.Dataset:
        """Build the data set of that name for the split "train", "val" or "test"."""

    def construct_optimizer(self, model: nn.Module, cfg: CfgNode) -> torch.optim.Optimizer:
        """Build the optimizer that SOLVER describes, for the parameters that require a gradient."""

    def get_epoch_lr(self, cur_epoch: float, cfg: CfgNode) -> float:
        """Learning rate after `cur_epoch` epochs, with fraction."""

    def set_lr(self, optimizer: torch.optim.Optimizer, new_lr: float) -> None:
        """Set the learning rate of all parameters: of each group `new_lr` times its `layer_decay`."""

    def get_loss_func(self, loss_name: str) -> Callable[..., nn.Module]:
        """Class of the loss that MODEL.LOSS_FUNC names."""

    def topks_correct(
        self, preds: torch.Tensor, labels: torch.Tensor, ks: tuple[int, ...]
    ) -> list[torch.Tensor]:
        """Count the videos whose label is among the k best scores, for each k of `ks`."""

    def setup_logging(self, output_dir: str) -> None:
        """Log to the screen and to stdout.log in that folder, in the first process only."""

    def get_logger(self, name: str) -> Logger:
        """The logger of a module."""

    def log_json_stats(self, stats: dict[str, Any]) -> None:
        """Log one line of statistics that programs read."""
