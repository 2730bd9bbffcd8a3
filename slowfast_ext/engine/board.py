"""Curves of a run in TensorBoard, under the names that PySlowFast main gives them and some more.

Weights & Biases, where it is asked for, takes whatever TensorBoard is given.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

from slowfast_ext.distributed import is_master
from slowfast_ext.engine.pace import Took
from slowfast_ext.engine.tally import Counted
from slowfast_ext.host import get_host
from slowfast_ext.host.memory import peak_memory
from slowfast_ext.host.metrics import ks_that_tell
from vtn.errors import InputError


class Board:
    """Writes curves if TENSORBOARD.ENABLE, in the first process; else it does nothing.

    Args:
        cfg: Keys TENSORBOARD.{ENABLE, LOG_DIR, WANDB}, OUTPUT_DIR, TRAIN.DATASET, DATA.NUM_FRAMES and
            MODEL.NUM_CLASSES.
        steps_done: Of a training: steps of the run before this one, which it continues; what lies beyond is
            drawn anew. None for a test, which adds to what is there.

    Raises:
        InputError: If Weights & Biases does not take the run.
    """

    def __init__(self, cfg: CfgNode, steps_done: int | None = None) -> None:
        self._writer, self._wandb, self._num_frames = None, None, cfg.DATA.NUM_FRAMES
        self._ks = ks_that_tell(cfg.MODEL.NUM_CLASSES)
        if not (cfg.TENSORBOARD.ENABLE and is_master()):
            return
        from torch.utils.tensorboard import SummaryWriter  # needs a package that others need not have

        folder = Path(cfg.OUTPUT_DIR) / (cfg.TENSORBOARD.LOG_DIR or f"runs-{cfg.TRAIN.DATASET}")
        if cfg.TENSORBOARD.WANDB:  # before the writer: it is listened to from its beginning
            self._wandb = _begin_wandb(cfg, "test" if steps_done is None else "train")
        first_step = None if steps_done is None else steps_done + 1
        self._writer = SummaryWriter(log_dir=str(folder), purge_step=first_step)
        get_host().get_logger(__name__).info("Curves: tensorboard --logdir %s", folder)

    def draw_training(self, step: int, counted: Sequence[Counted], lr: float, took: Took) -> None:
        """Draw some steps as one point: means over their videos, and how fast they were.

        Args:
            step: The last one, counted from the beginning of the training.
            counted: The steps.
            lr: Learning rate of the last one.
            took: Their time.
        """
        if self._writer is None or not counted:
            return
        videos = sum(one.videos for one in counted)
        loss, *errors = (
            sum(getattr(one, name) * one.videos for one in counted) / videos
            for name in ("loss", "top1_error", "top5_error")
        )
        speed = {"videos_per_second": videos / took.seconds}
        speed["frames_per_second"] = self._num_frames * speed["videos_per_second"]
        speed["share_waiting_for_data"] = took.waiting_seconds / took.seconds
        learning = {"loss": loss, "lr": lr, "grad_norm": counted[-1].grad_norm}
        self._draw("Train", step, learning | self._wrong_and_right(*errors))
        self._draw("Speed", step, speed | peak_memory())

    def draw_validation(self, step: int, top1_error: float, top5_error: float) -> None:
        """Draw a validation; errors in percent."""
        self._draw("Val", step, self._wrong_and_right(top1_error, top5_error))

    def draw_test(self, epochs: int, stats: Mapping[str, Any]) -> None:
        """Draw a test as a point over the epochs that its model was trained for.

        Args:
            epochs: 0 if that is not known.
            stats: Of `score_videos`.
        """
        errors = (100.0 - float(stats[f"top{k}_acc"]) for k in (1, 5))
        self._draw("Test", epochs, self._wrong_and_right(*errors))

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
        if self._wandb is not None:
            self._wandb.finish()

    def _wrong_and_right(self, *errors: float) -> dict[str, float]:
        """Errors of the top 1 and 5, as main draws them, and accuracies; percent."""
        known = {k: error for k, error in zip((1, 5), errors, strict=True) if k in self._ks}
        wrong = {f"Top{k}_err": error for k, error in known.items()}
        return wrong | {f"Top{k}_acc": 100.0 - error for k, error in known.items()}

    def _draw(self, group: str, step: int, values: dict[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)
            self._writer.flush()


def _begin_wandb(cfg: CfgNode, job: str) -> Any:
    """Begin a run of Weights & Biases; those of one OUTPUT_DIR are a group. Its own settings are WANDB_*."""
    import wandb  # likewise

    folder = Path(cfg.OUTPUT_DIR).resolve()
    try:
        return wandb.init(
            dir=str(folder),
            group=folder.name,
            job_type=job,
            config=yaml.safe_load(cfg.dump()),
            sync_tensorboard=True,
        )
    except wandb.Error as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"TENSORBOARD.WANDB is True, but Weights & Biases does not take the run ({reason}): type "
            "`wandb login` first, set WANDB_MODE=offline, or add TENSORBOARD.WANDB False"
        ) from None
