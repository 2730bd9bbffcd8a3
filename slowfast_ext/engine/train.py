"""Training with validation: PySlowFast's loop, log lines and files, for the wheel and for ENGINE own.

Differences from PySlowFast's own loop: the order of the videos, their augmentation and dropout depend only
on RNG_SEED and the epoch, so an interrupted run continues as if it had never stopped; validation counts
every video once, whatever the number of processes. Videos that cannot be read are left to the loader, see
slowfast_ext/data/loader.py.
"""

import contextlib
import math
from typing import Any

import torch
from torch import distributed as dist
from torch import nn

from slowfast_ext.data.build import construct_loader, shuffle_dataset
from slowfast_ext.data.ledger import FAILED
from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.distributed import all_reduce_sum, device_of, rank, seed_everything, seed_step, unwrap
from slowfast_ext.engine import start
from slowfast_ext.engine.batch import Batch, split_batch
from slowfast_ext.engine.board import Board
from slowfast_ext.engine.compilation import compile_parts
from slowfast_ext.engine.facts import log_model_info
from slowfast_ext.engine.learner import Learner, make_learner
from slowfast_ext.engine.mixing import comparable
from slowfast_ext.engine.nonfinite import Attempt
from slowfast_ext.engine.pace import Pace, with_bar
from slowfast_ext.engine.precision import computing_in
from slowfast_ext.engine.run_files import training_record
from slowfast_ext.engine.tally import Counted, Tally
from slowfast_ext.host import get_host
from slowfast_ext.host.metrics import sentence_of_score
from slowfast_ext.host.precise_bn import get_bn_modules, take_batches, update_bn_stats


def train(cfg) -> None:
    """Train for SOLVER.MAX_EPOCH epochs, validating every TRAIN.EVAL_PERIOD.

    Args:
        cfg: Complete configuration. Checkpoints and log go to OUTPUT_DIR; a run with checkpoints there is
            continued if TRAIN.AUTO_RESUME.

    Raises:
        InputError: On a list, checkpoint or value that cannot be used.
        NonFiniteError: At a step without a finite loss, see nonfinite.py; the last checkpoint stays.
    """
    host = get_host()
    logger = host.get_logger(__name__)
    seed_everything(cfg.RNG_SEED)
    source = start.find_training_source(cfg)
    with training_record(cfg, source):
        _train(cfg, source)
    logger.info("Training done. Checkpoints and log: %s", cfg.OUTPUT_DIR)


def _train(cfg, source: start.Source | None) -> None:
    """Build what training needs, and run its epochs."""
    host = get_host()
    train_loader, val_loader = construct_loader(cfg, "train"), construct_loader(cfg, "val")
    model = start.make_model_of(cfg, source)
    log_model_info(model, cfg, train=True)
    learner = make_learner(model, cfg, train_loader.ledger.paths)
    start_epoch = 0 if source is None else learner.resume(source) + 1
    for trained in learner.models:
        compile_parts(trained, cfg)
    train_meter = host.TrainMeter(len(train_loader), cfg)
    val_meter = host.ValMeter(len(val_loader), cfg)
    # The iteration that is logged also waits for what a GPU still has to do of those before it.
    train_meter.means_of_period = val_meter.means_of_period = learner.device.type != "cpu"
    board = Board(cfg, start_epoch * len(train_loader))

    host.get_logger(__name__).info("Start epoch: %d", start_epoch + 1)
    for epoch in range(start_epoch, cfg.SOLVER.MAX_EPOCH):
        last = epoch + 1 == cfg.SOLVER.MAX_EPOCH
        shuffle_dataset(train_loader, epoch)
        train_epoch(train_loader, learner, train_meter, epoch, cfg, board)
        # After the first epoch too: a run that is stopped early has something to go on from.
        save = last or epoch == start_epoch or (epoch + 1) % cfg.TRAIN.CHECKPOINT_PERIOD == 0
        evaluate = last or (epoch + 1) % cfg.TRAIN.EVAL_PERIOD == 0
        if (save or evaluate) and cfg.BN.USE_PRECISE_STATS and get_bn_modules(model):
            for trained in learner.models:
                update_precise_bn(train_loader, trained, cfg)
        if save:
            learner.save(epoch, cfg)
        if evaluate:
            errors = eval_epoch(val_loader, learner.evaluated, val_meter, epoch, cfg)
            board.draw_validation((epoch + 1) * len(train_loader), *errors)
    board.close()


def train_epoch(train_loader: VideoLoader, learner: Learner, meter, epoch: int, cfg, board: Board) -> None:
    """One pass over the training list."""
    host, tally, pace, num_batches = get_host(), Tally(all_processes=True), Pace(), len(train_loader)
    learner.model.train()
    meter.iter_tic()
    step, lr = epoch * num_batches, host.get_epoch_lr(epoch, cfg)
    batches = with_bar(train_loader, num_batches, f"epoch {epoch + 1}/{cfg.SOLVER.MAX_EPOCH}")
    for iteration, loaded in enumerate(pace.over(batches)):
        lr = host.get_epoch_lr(epoch + iteration / num_batches, cfg)
        host.set_lr(learner.optimizer, lr)
        meter.data_toc()
        train_step(loaded, learner, tally, cfg, epoch=epoch, iteration=iteration)
        step += 1
        if (iteration + 1) % cfg.LOG_PERIOD == 0:
            board.draw_training(step, _record(tally, meter, lr), lr, pace.read())
        meter.iter_toc()
        if meter.num_samples:  # none if all steps so far were left out
            meter.log_iter_stats(epoch, iteration)
        meter.iter_tic()
    learner.guard.settle()
    board.draw_training(step, _record(tally, meter, lr), lr, pace.read())
    if meter.num_samples:
        meter.log_epoch_stats(epoch)
    meter.reset()


def train_step(
    loaded: Any, learner: Learner, tally: Tally, cfg, *, epoch: int = 0, iteration: int = 0
) -> None:
    """Update the weights once, if the loss is finite; on a GPU nothing of this step is read.

    Args:
        loaded: A batch of this process, as its loader gives it.
        learner: Is changed.
        tally: Counts the step.
        cfg: Keys TRAIN.{ACCUMULATE_STEPS, PRECISION} and SOLVER.CLIP_GRAD_{VAL, L2NORM}.
        epoch: From 0; it decides with `iteration` how clips are mixed, and what dropout leaves out.
        iteration: Of the epoch, from 0.

    Raises:
        NonFiniteError: If the run ends at this step, or on a GPU at the one before.
    """
    learner.guard.begin(Attempt(loaded, epoch, iteration))
    learner.optimizer.zero_grad()
    seed_step(cfg.RNG_SEED, epoch, iteration, rank())
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
                logits = model(batch.inputs)
            loss = learner.guard.watch(learner.loss_function(logits.float(), batch.labels))
            learner.scaler.scale(loss / count).backward()
        tally.count(*comparable(logits.detach(), batch.labels, cfg), loss)


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


@torch.no_grad()
def eval_epoch(val_loader: VideoLoader, model: nn.Module, meter, epoch: int, cfg) -> tuple[float, float]:
    """One pass over the validation list; every readable video counts once.

    Returns:
        Top-1 and top-5 error, percent, of all processes.
    """
    host, tally = get_host(), Tally(all_processes=False)
    # Unwrapped: processes may have unequal numbers of batches, so none may wait for another.
    model = unwrap(model).eval()
    host.get_logger(__name__).info("Validating on %d videos", len(val_loader.dataset))
    meter.iter_tic()
    device = device_of(cfg)
    for iteration, loaded in enumerate(with_bar(val_loader, len(val_loader), "validation")):
        meter.data_toc()
        batch = Batch(loaded, device)
        with computing_in(cfg.TRAIN.PRECISION, device):
            scores = model(batch.inputs)
        tally.count(scores, batch.labels)
        tally.end_step()
        if (iteration + 1) % cfg.LOG_PERIOD == 0:
            _record_validation(tally, meter)
        meter.iter_toc()
        meter.log_iter_stats(epoch, iteration)
        meter.iter_tic()
    _record_validation(tally, meter)
    totals = [meter.num_top1_mis, meter.num_top5_mis, meter.num_samples]
    meter.num_top1_mis, meter.num_top5_mis, meter.num_samples = all_reduce_sum([float(x) for x in totals])
    # The meter adds up percent times videos.
    correct, scored = meter.num_samples - meter.num_top1_mis / 100, int(meter.num_samples)
    failed = val_loader.ledger.count(FAILED)
    host.get_logger(__name__).info(
        sentence_of_score(f"Validation of epoch {epoch + 1}", correct, scored, failed)
    )
    errors = meter.num_top1_mis / scored, meter.num_top5_mis / scored
    meter.log_epoch_stats(epoch)
    meter.reset()
    return errors


def _record_validation(tally: Tally, meter) -> None:
    for step in tally.read():
        meter.update_stats(step.top1_error, step.top5_error, step.videos)


def update_precise_bn(loader: VideoLoader, model: nn.Module, cfg) -> None:
    """Replace running statistics of batch norms by averages over BN.NUM_BATCHES_PRECISE training batches."""
    device = device_of(cfg)
    count = min(cfg.BN.NUM_BATCHES_PRECISE, len(loader))
    batches = (Batch(loaded, device).inputs for loaded in take_batches(lambda: iter(loader), count))
    with computing_in(cfg.TRAIN.PRECISION, device):
        update_bn_stats(unwrap(model).train(), batches, count)
    if dist.is_initialized():
        _average_buffers(unwrap(model))


def _average_buffers(model: nn.Module) -> None:
    for buffer in model.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer.div_(dist.get_world_size())
