"""A line in the log of a test where videos are longer than the table of positions, which then wrap."""

from collections.abc import Sequence
from typing import Any

from fvcore.common.config import CfgNode

from slowfast_ext.host import get_host
from vtn.positions import FrameRows


def positions_may_wrap(cfg: CfgNode) -> bool:
    """Whether the configured model takes positions from a table, and wraps those beyond it."""
    own_table = not cfg.VTN.SEQUENCE_ENCODER and cfg.VTN.POSITION_EMBEDDING == "learned"
    return cfg.MODEL.MODEL_NAME == "VTN" and own_table and cfg.VTN.POSITION_OVERFLOW == "wrap"


class WrappedPositions:
    """A transform of batches that changes nothing, and says once that the positions of a video wrap.

    It looks at frame_indices where they still are on the CPU, so no GPU waits.

    Args:
        cfg: Keys VTN.MAX_POSITION_EMBEDDINGS and VTN.POSITION_OVERFLOW.
        paths: File of each video.
        num_views: Items of each video.
    """

    def __init__(self, cfg: CfgNode, paths: Sequence[str], num_views: int) -> None:
        self._rows = FrameRows(cfg.VTN.MAX_POSITION_EMBEDDINGS, cfg.VTN.POSITION_OVERFLOW)
        self._paths, self._num_views, self._said = paths, num_views, False

    def __call__(self, batch: Any) -> Any:
        """Look at a batch as a loader has it."""
        inputs, items = batch[0], batch[2]
        if not self._said and len(inputs) > 1 and self._rows.overflows(inputs[1]):
            self._said = True
            highest = inputs[1].amax(1)
            longest = int(highest.argmax())
            get_host().get_logger(__name__).info(
                "Positions wrap: %s is shown up to frame %d, and the table has rows for %d frames "
                "(VTN.POSITION_OVERFLOW wrap, as in the authors' code); other videos are not mentioned",
                self._paths[int(items[longest]) // self._num_views],
                int(highest[longest]),
                self._rows.count,
            )
        return batch
