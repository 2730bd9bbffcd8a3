"""Training with validation: PySlowFast's loop, log lines and files, for the wheel and for ENGINE own.

Differences from PySlowFast's own loop: the order of the videos and their augmentation depend only on
RNG_SEED and the epoch, dropout on the iteration too, so a run that is stopped anywhere continues as if it had
not been; validation counts every video once, whatever the number of processes. Videos that cannot be read are
left to the loader, see slowfast_ext/data/loader.py.
"""

import contextlib
import math
from typing import Any

import torch
from torch import nn

from slowfast_ext.data.build import construct_loader, shuffle_dataset
from slowfast_ext.data.stored_videos import use_stored_features
from slowfast_ext.distributed import seed_everything, unwrap
from slowfast_ext.engine import start
from slowfast_ext.engine.batch import Batch, split_batch
from slowfast_ext.engine.batch_norms import make_precise, share_buffers
from slowfast_ext.engine.board import Board
from slowfast_ext.engine.changes import made_with
from slowfast_ext.engine.compilation import compile_parts
from slowfast_ext.engine.facts import log_model_info
from slowfast_ext.engine.learner import Learner, make_learner
from slowfast_ext.engine.localizing import logits_of
from slowfast_ext.engine.mixing import comparable
from slowfast_ext.engine.nonfinite import Attempt
from slowfast_ext.engine.pace import Pace, with_bar
from slowfast_ext.engine.precision import computing_in
from slowfast_ext.engine.run_files import training_record
from slowfast_ext.engine.saving import Saver
from slowfast_ext.engine.seeds import seed_step
from slowfast_ext.engine.session import Begin, Session, find_begin
from slowfast_ext.engine.stopping import Noted, Stopped, signal_in, stop_signals
from slowfast_ext.engine.tally import Counted, Tally
from slowfast_ext.engine.validate import eval_epoch
from slowfast_ext.host import get_host
from slowfast_ext.host.places import Place
from slowfast_ext.host.precise_bn import get_bn_modules
from vtn.errors import InputError


def train(cfg) -> None:
    """Train for SOLVER.MAX_EPOCH epochs, validating every TRAIN.EVAL_PERIOD.

    Args:
        cfg: Complete configuration. Checkpoints and log go to OUTPUT_DIR; a run with checkpoints there is
            continued if TRAIN.AUTO_RESUME.

    Raises:
        InputError: On a list, checkpoint or value that cannot be used, and at the end if the last checkpoint
            could not be written.
        NonFiniteError: At a step without a finite loss, see nonfinite.py; the last checkpoint stays.
        Stopped: If SIGTERM, SIGINT or SIGUSR1 has come; all is saved.
    """
    host = get_host()
    logger = host.get_logger(__name__)
    seed_everything(cfg.RNG_SEED)
    source = start.find_training_source(cfg, inside=True)
    with training_record(cfg, source), stop_signals() as noted:
        failure = _train(cfg, source, noted)
    if failure:
        raise InputError(f"the training has ended, but its last save failed: {failure}")
    logger.info("Training done. Checkpoints and log: %s", cfg.OUTPUT_DIR)
    if noted.number:  # too late for the training to answer
        raise Stopped(noted.number)


def _train(cfg, source: start.Source | None, noted: Noted) -> str:
    """Build what training needs, and run its epochs; returns why the last save failed, or an empty text."""
    host = get_host()
    made = made_with(cfg)  # now: somebody may edit a list while the run goes on with what it has read
    train_loader, val_loader = construct_loader(cfg, "train"), construct_loader(cfg, "val")
    model = start.make_model_of(cfg, source)
    log_model_info(model, cfg, train=True)
    learner = make_learner(model, cfg, train_loader.ledger.paths)
    begin = find_begin(cfg, source, learner, train_loader, made)
    use_stored_features(model, [train_loader.dataset, val_loader.dataset])
    for trained in learner.models:
        compile_parts(trained, cfg)
    train_meter = host.TrainMeter(len(train_loader), cfg)
    val_meter = host.ValMeter(len(val_loader), cfg)
    # The iteration that is logged also waits for what a GPU still has to do of those before it.
    train_meter.means_of_period = val_meter.means_of_period = learner.device.type != "cpu"
    val_meter.min_top1_err, val_meter.min_top5_err = begin.validations.least
    board = Board(cfg, begin.place.epoch * len(train_loader) + begin.place.iteration)
    saver = Saver(cfg, learner, begin.place, begin.validations, made)
    loaders, meters = (train_loader, val_loader), (train_meter, val_meter)
    session = Session(cfg, learner, *loaders, *meters, board, saver, noted, begin.order)
    try:
        _run_epochs(session, begin)
        saver.finish()
    finally:
        saver.close()
    board.close()
    return saver.failure


def _run_epochs(session: Session, begin: Begin) -> None:
    """Train and validate from a place on."""
    cfg, first = session.cfg, begin.place.epoch
    where = f", after {begin.place.iteration} iterations" if begin.progress else ""
    get_host().get_logger(__name__).info("Start epoch: %d%s", first + 1, where)
    if begin.lacks_validation and _is_evaluated(first - 1, cfg):
        _validate(session, first - 1)
    for epoch in range(first, cfg.SOLVER.MAX_EPOCH):
        shuffle_dataset(session.train_loader, epoch)
        progress = train_epoch(session, epoch, begin.progress if epoch == first else None)
        # After the first epoch too: a run that is stopped early has something to go on from.
        save = epoch in (first, cfg.SOLVER.MAX_EPOCH - 1) or (epoch + 1) % cfg.TRAIN.CHECKPOINT_PERIOD == 0
        if save or _is_evaluated(epoch, cfg):
            _make_precise(session, epoch, progress)
        if save:
            session.save_epoch(epoch)
        if _is_evaluated(epoch, cfg):
            _validate(session, epoch)


def _is_evaluated(epoch: int, cfg) -> bool:
    """Whether an epoch, from 0, is followed by a validation."""
    return epoch >= 0 and (epoch + 1 == cfg.SOLVER.MAX_EPOCH or (epoch + 1) % cfg.TRAIN.EVAL_PERIOD == 0)


def _make_precise(session: Session, epoch: int, progress: dict[str, Any]) -> None:
    """Compute the statistics of batch norms anew, if BN.USE_PRECISE_STATS.

    Raises:
        Stopped: If any process has got a signal.
    """
    cfg, loader = session.cfg, session.train_loader
    if not (cfg.BN.USE_PRECISE_STATS and get_bn_modules(session.learner.model)):
        return
    if not make_precise(loader, session.learner.models, cfg, epoch):
        session.answer(Place(epoch, progress["iteration"]), progress)


def _validate(session: Session, epoch: int) -> None:
    """Validate after an epoch; stopped in the middle, it will be done again.

    Raises:
        Stopped: If any process has got a signal.
    """
    cfg = session.cfg
    seed_step(cfg, epoch, len(session.train_loader) + 1)  # for VTN.SHUFFLE_FRAMES
    errors = eval_epoch(session.val_loader, session.learner.evaluated, session.val_meter, epoch, cfg)
    if errors is None:
        session.save_epoch(epoch)
        session.leave(signal_in(session.val_loader.agreed), f"in the validation of epoch {epoch + 1}")
    session.saver.note_validation(epoch, errors)
    session.board.draw_validation((epoch + 1) * len(session.train_loader), *errors)


def train_epoch(session: Session, epoch: int, begun: dict[str, Any] | None = None) -> dict[str, Any]:
    """One pass over the training list, or the rest of one.

    Args:
        session: The training.
        epoch: From 0.
        begun: The progress of a pass that was begun, see Session.progress.

    Returns:
        The progress at its end.

    Raises:
        Stopped: If any process has got a signal.
    """
    cfg, learner, meter, loader = session.cfg, session.learner, session.train_meter, session.train_loader
    host, tally, pace, num_batches = get_host(), Tally(all_processes=True), Pace(), len(loader)
    iteration, counted = 0, []
    if begun is not None:
        loader.go_on(begun)
        if not begun.get("logged"):  # else it was stopped after its line in the log
            meter.take_up(begun["meter"])
        iteration = begun["iteration"]
    learner.model.train()
    meter.iter_tic()
    lr = host.get_epoch_lr(epoch, cfg)
    batches = with_bar(loader, num_batches, f"epoch {epoch + 1}/{cfg.SOLVER.MAX_EPOCH}", iteration)
    for loaded in pace.over(batches):
        if loader.agreed:
            learner.guard.settle()
            counted += _record(tally, meter, lr)
            session.answer(Place(epoch, iteration), session.progress(iteration))
        lr = host.get_epoch_lr(epoch + iteration / num_batches, cfg)
        host.set_lr(learner.optimizer, lr)
        meter.data_toc()
        seed_step(cfg, epoch, iteration)
        train_step(loaded, learner, tally, cfg, epoch=epoch, iteration=iteration)
        iteration += 1
        if iteration % cfg.LOG_PERIOD == 0:
            counted += _record(tally, meter, lr)
            session.board.draw_training(epoch * num_batches + iteration, counted, lr, pace.read())
            counted = []
        meter.iter_toc()
        if meter.num_samples:  # none if all steps so far were left out
            meter.log_iter_stats(epoch, iteration - 1)
        meter.iter_tic()
    learner.guard.settle()
    counted += _record(tally, meter, lr)
    session.board.draw_training(epoch * num_batches + iteration, counted, lr, pace.read())
    share_buffers(learner.models)
    progress = session.progress(iteration) | {"logged": True}
    if meter.num_samples:
        meter.log_epoch_stats(epoch)
    meter.reset()
    if signal_in(loader.agreed):
        session.answer(Place(epoch, iteration), progress)
    return progress


def train_step(
    loaded: Any, learner: Learner, tally: Tally, cfg, *, epoch: int = 0, iteration: int = 0
) -> None:
    """Update the weights once, if the loss is finite; on a GPU nothing of this step is read.

    Args:
        loaded: A batch of this process, as its loader gives it.
        learner: Is changed.
        tally: Counts the step.
        cfg: Keys TRAIN.{ACCUMULATE_STEPS, PRECISION} and SOLVER.CLIP_GRAD_{VAL, L2NORM}.
        epoch: From 0; it decides with `iteration` how clips are mixed.
        iteration: Of the epoch, from 0.

    Raises:
        NonFiniteError: If the run ends at this step, or on a GPU at the one before.
    """
    learner.guard.begin(Attempt(loaded, epoch, iteration))
    learner.optimizer.zero_grad()
    compute_gradients(loaded, learner, tally, cfg, epoch, iteration)
    learner.scaler.unscale_(learner.optimizer)
    # DistributedDataParallel has averaged the gradients, so all processes have the same norm.
    grad_norm = norm_of_gradients(learner.model)
    learner.guard.take(grad_norm, lambda: _update(learner, cfg))
    tally.end_step(grad_norm)


def compute_gradients(loaded: Any, learner: Learner, tally: Tally, cfg, epoch: int, iteration: int) -> None:
    """The forward and backward passes of `train_step`: gradients are added to those that are there."""
    model, count = learner.model, cfg.TRAIN.ACCUMULATE_STEPS
    for number, part in enumerate(split_batch(loaded, count)):
        batch = learner.mix(Batch(part, learner.device), epoch, iteration * count + number)
        with _exchanging_gradients(model, number + 1 == count):
            with computing_in(cfg.TRAIN.PRECISION, learner.device):
                output = model(batch.inputs)
            loss = learner.guard.watch(learner.loss(output, batch))
            learner.scaler.scale(loss / count).backward()
        tally.count(*comparable(logits_of(output).detach(), batch.labels, cfg), loss)


def norm_of_gradients(model: nn.Module) -> torch.Tensor:
    """Of all weights that have one, together."""
    return nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])


def _update(learner: Learner, cfg) -> None:
    """Change weights, optimizer, scaler and average by the gradients."""
    if cfg.SOLVER.CLIP_GRAD_VAL:
        nn.utils.clip_grad_value_(learner.model.parameters(), cfg.SOLVER.CLIP_GRAD_VAL)
    if cfg.SOLVER.CLIP_GRAD_L2NORM:
        nn.utils.clip_grad_norm_(learner.model.parameters(), cfg.SOLVER.CLIP_GRAD_L2NORM)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.ema is not None:
        learner.ema.update(unwrap(learner.model))


def _exchanging_gradients(model: nn.Module, exchange: bool) -> contextlib.AbstractContextManager:
    """For `with`: whether the gradients of a backward pass are averaged over the processes."""
    several = isinstance(model, nn.parallel.DistributedDataParallel)
    return model.no_sync() if several and not exchange else contextlib.nullcontext()


def _record(tally: Tally, meter, lr: float) -> list[Counted]:
    """Hand the steps since the last time that have a finite loss to the meter, and return them."""
    counted = [step for step in tally.read() if math.isfinite(step.loss)]
    for step in counted:
        meter.update_stats(step.top1_error, step.top5_error, step.loss, lr, step.grad_norm, step.videos)
    return counted
