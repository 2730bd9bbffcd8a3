"""Random numbers of a training step: dropout, stochastic depth, whatever a model draws."""

from slowfast_ext.distributed import seed_everything
from slowfast_ext.video.augment import Draw, seed_of


def seed_step(cfg, epoch: int, iteration: int, process: int | None = None) -> None:
    """Give a step random numbers that depend on RNG_SEED, epoch, iteration and process only.

    So a run that is stopped anywhere goes on with the same numbers, and no generator's state is saved.

    Args:
        cfg: Key RNG_SEED.
        epoch: From 0.
        iteration: Of the epoch, from 0; what follows its steps has the numbers after them.
        process: Its rank; None is this one's.
    """
    seed_everything(seed_of(Draw.STEP, cfg.RNG_SEED, epoch, iteration), process)
