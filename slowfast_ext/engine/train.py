"""Training with validation: PySlowFast's loop, log lines and files, for the wheel and for ENGINE own.

Differences from PySlowFast's own loop: the order of the videos, their augmentation and dropout depend only
on RNG_SEED and the epoch, so an interrupted run continues as if it had never stopped; validation counts
every video once, whatever the number of processes. Videos that cannot be read are left to the loader, see
slowfast_ext/data/loader.py.
"""

import math
from datetime import datetime

import torch
from torch import distributed as dist
from torch import nn

from slowfast_ext.data.build import construct_loader, shuffle_dataset
from slowfast_ext.data.ledger import FAILED
from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.distributed import all_reduce_sum, device_of, seed_everything, unwrap
from slowfast_ext.engine import start
from slowfast_ext.engine.batch import Batch
from slowfast_ext.engine.facts import log_model_info
from slowfast_ext.engine.mixing import Mixing, comparable
from slowfast_ext.engine.run_files import training_record
from slowfast_ext.host import get_host
from slowfast_ext.host.checkpoint import save_checkpoint
from slowfast_ext.host.metrics import sentence_of_score
from slowfast_ext.host.precise_bn import get_bn_modules, take_batches, update_bn_stats


def train(cfg) -> None:
    """Train for SOLVER.MAX_EPOCH epochs, validating every TRAIN.EVAL_PERIOD.

    Args:
        cfg: Complete configuration. Checkpoints and log go to OUTPUT_DIR; a run with checkpoints there is
            continued if TRAIN.AUTO_RESUME.

    Raises:
        InputError: On a list, checkpoint or value that cannot be used.
        RuntimeError: If the loss becomes NaN; the last checkpoint stays.
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
    optimizer = host.construct_optimizer(model, cfg)
    start_epoch = 0 if source is None else source.load(model, optimizer) + 1
    train_meter = host.TrainMeter(len(train_loader), cfg)
    val_meter = host.ValMeter(len(val_loader), cfg)

    host.get_logger(__name__).info("Start epoch: %d", start_epoch + 1)
    for epoch in range(start_epoch, cfg.SOLVER.MAX_EPOCH):
        last = epoch + 1 == cfg.SOLVER.MAX_EPOCH
        shuffle_dataset(train_loader, epoch)
        train_epoch(train_loader, model, optimizer, train_meter, epoch, cfg)
        # After the first epoch too: a run that is stopped early has something to go on from.
        save = last or epoch == start_epoch or (epoch + 1) % cfg.TRAIN.CHECKPOINT_PERIOD == 0
        evaluate = last or (epoch + 1) % cfg.TRAIN.EVAL_PERIOD == 0
        if (save or evaluate) and cfg.BN.USE_PRECISE_STATS and get_bn_modules(model):
            update_precise_bn(train_loader, model, cfg)
        if save:
            save_checkpoint(cfg.OUTPUT_DIR, model, optimizer, epoch, cfg)
        if evaluate:
            eval_epoch(val_loader, model, val_meter, epoch, cfg)


def train_epoch(train_loader: VideoLoader, model: nn.Module, optimizer, meter, epoch: int, cfg) -> None:
    """One pass over the training list."""
    host = get_host()
    model.train()
    meter.iter_tic()
    loss_function = host.get_loss_func(cfg.MODEL.LOSS_FUNC)(reduction="mean")
    device, mix = device_of(cfg), Mixing(cfg)
    num_batches = len(train_loader)
    for iteration, loaded in enumerate(train_loader):
        lr = host.get_epoch_lr(epoch + iteration / num_batches, cfg)
        host.set_lr(optimizer, lr)
        meter.data_toc()
        batch = mix(Batch(loaded, device), epoch, iteration)
        *stats, grad_norm, videos = _step(batch, model, optimizer, loss_function, cfg)
        meter.iter_toc()
        meter.update_stats(*stats, lr, grad_norm, videos)
        meter.log_iter_stats(epoch, iteration)
        meter.iter_tic()
    meter.log_epoch_stats(epoch)
    meter.reset()


def _step(
    batch: Batch, model: nn.Module, optimizer, loss_function, cfg
) -> tuple[float, float, float, float, int]:
    """Forward, backward, update.

    Returns:
        Top-1 and top-5 error (%), loss, norm of the gradient before clipping, videos; of all processes.
    """
    logits = model(batch.inputs)
    loss = loss_function(logits, batch.labels)
    optimizer.zero_grad()
    loss.backward()
    # DistributedDataParallel has averaged the gradients, so all processes have the same norm.
    grad_norm = nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    if cfg.SOLVER.CLIP_GRAD_VAL:
        nn.utils.clip_grad_value_(model.parameters(), cfg.SOLVER.CLIP_GRAD_VAL)
    if cfg.SOLVER.CLIP_GRAD_L2NORM:
        nn.utils.clip_grad_norm_(model.parameters(), cfg.SOLVER.CLIP_GRAD_L2NORM)
    optimizer.step()

    answers = comparable(logits.detach(), batch.labels, cfg)
    correct = [c.item() for c in get_host().topks_correct(*answers, (1, 5))]
    top1, top5, loss_sum, videos = all_reduce_sum([*correct, loss.item() * len(batch), len(batch)])
    if math.isnan(loss_sum):
        raise RuntimeError(f"ERROR: Got NaN losses {datetime.now()}")
    errors = 100.0 * (1 - top1 / videos), 100.0 * (1 - top5 / videos)
    return *errors, loss_sum / videos, grad_norm.item(), int(videos)


@torch.no_grad()
def eval_epoch(val_loader: VideoLoader, model: nn.Module, meter, epoch: int, cfg) -> None:
    """One pass over the validation list; every readable video counts once."""
    host = get_host()
    model = unwrap(
        model
    ).eval()  # processes may have unequal numbers of batches, so none may wait for another
    host.get_logger(__name__).info("Validating on %d videos", len(val_loader.dataset))
    meter.iter_tic()
    device = device_of(cfg)
    for iteration, loaded in enumerate(val_loader):
        meter.data_toc()
        batch = Batch(loaded, device)
        correct = host.topks_correct(model(batch.inputs), batch.labels, (1, 5))
        top1_err, top5_err = (100.0 * (1 - c.item() / len(batch)) for c in correct)
        meter.iter_toc()
        meter.update_stats(top1_err, top5_err, len(batch))
        meter.log_iter_stats(epoch, iteration)
        meter.iter_tic()
    totals = [meter.num_top1_mis, meter.num_top5_mis, meter.num_samples]
    meter.num_top1_mis, meter.num_top5_mis, meter.num_samples = all_reduce_sum([float(x) for x in totals])
    # The meter adds up percent times videos.
    correct, scored = meter.num_samples - meter.num_top1_mis / 100, int(meter.num_samples)
    failed = val_loader.ledger.count(FAILED)
    host.get_logger(__name__).info(
        sentence_of_score(f"Validation of epoch {epoch + 1}", correct, scored, failed)
    )
    meter.log_epoch_stats(epoch)
    meter.reset()


def update_precise_bn(loader: VideoLoader, model: nn.Module, cfg) -> None:
    """Replace running statistics of batch norms by averages over BN.NUM_BATCHES_PRECISE training batches."""
    device = device_of(cfg)
    count = min(cfg.BN.NUM_BATCHES_PRECISE, len(loader))
    update_bn_stats(
        unwrap(model),
        (Batch(loaded, device).inputs for loaded in take_batches(lambda: iter(loader), count)),
        count,
    )
    if dist.is_initialized():
        _average_buffers(unwrap(model))


def _average_buffers(model: nn.Module) -> None:
    for buffer in model.buffers():
        if buffer.is_floating_point():
            dist.all_reduce(buffer)
            buffer.div_(dist.get_world_size())
