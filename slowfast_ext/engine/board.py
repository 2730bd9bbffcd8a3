"""Curves of a training in TensorBoard, under the names that PySlowFast main gives them and some more."""

from collections.abc import Sequence
from pathlib import Path

from fvcore.common.config import CfgNode

from slowfast_ext.distributed import is_master
from slowfast_ext.engine.pace import Took
from slowfast_ext.engine.tally import Counted
from slowfast_ext.host import get_host
from slowfast_ext.host.memory import peak_memory


class Board:
    """Writes curves if TENSORBOARD.ENABLE, in the first process; else it does nothing.

    Args:
        cfg: Keys TENSORBOARD.{ENABLE, LOG_DIR}, OUTPUT_DIR, TRAIN.DATASET and DATA.NUM_FRAMES.
        steps_done: Steps of the run before this one, which it continues; what lies beyond is drawn anew.
    """

    def __init__(self, cfg: CfgNode, steps_done: int) -> None:
        self._writer, self._num_frames = None, cfg.DATA.NUM_FRAMES
        if not (cfg.TENSORBOARD.ENABLE and is_master()):
            return
        from torch.utils.tensorboard import SummaryWriter  # needs a package that others need not have

        folder = Path(cfg.OUTPUT_DIR) / (cfg.TENSORBOARD.LOG_DIR or f"runs-{cfg.TRAIN.DATASET}")
        self._writer = SummaryWriter(log_dir=str(folder), purge_step=steps_done)
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
        means = {
            name: sum(getattr(one, attribute) * one.videos for one in counted) / videos
            for name, attribute in (("loss", "loss"), ("Top1_err", "top1_error"), ("Top5_err", "top5_error"))
        }
        speed = {"videos_per_second": videos / took.seconds}
        speed["frames_per_second"] = self._num_frames * speed["videos_per_second"]
        speed["share_waiting_for_data"] = took.waiting_seconds / took.seconds
        self._draw("Train", step, means | {"lr": lr, "grad_norm": counted[-1].grad_norm})
        self._draw("Speed", step, speed | peak_memory())

    def draw_validation(self, step: int, top1_error: float, top5_error: float) -> None:
        """Draw a validation, in percent."""
        self._draw("Val", step, {"Top1_err": top1_error, "Top5_err": top5_error})

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()

    def _draw(self, group: str, step: int, values: dict[str, float]) -> None:
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)
            self._writer.flush()
