"""One pass over the validation list."""

import torch
from torch import nn

from slowfast_ext.data.ledger import FAILED
from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.distributed import all_reduce_sum, device_of, unwrap
from slowfast_ext.engine.batch import Batch
from slowfast_ext.engine.localizing import entries_of, logits_of, segments_to_find, sentence_of
from slowfast_ext.engine.pace import with_bar
from slowfast_ext.engine.precision import computing_in
from slowfast_ext.engine.tally import Tally
from slowfast_ext.host import get_host
from slowfast_ext.host.metrics import sentence_of_score


@torch.no_grad()
def eval_epoch(
    val_loader: VideoLoader, model: nn.Module, meter, epoch: int, cfg
) -> tuple[float, float] | None:
    """One pass over the validation list; every readable video counts once.

    Returns:
        Top-1 and top-5 error, percent, of all processes; None if the loader ended early because a process was
        asked for something.
    """
    host, tally = get_host(), Tally(all_processes=False)
    # Unwrapped: processes may have unequal numbers of batches, so none may wait for another.
    model = unwrap(model).eval()
    host.get_logger(__name__).info("Validating on %d videos", len(val_loader.dataset))
    meter.iter_tic()
    device, segments = device_of(cfg), segments_to_find(model, cfg)
    for iteration, loaded in enumerate(with_bar(val_loader, len(val_loader), "validation")):
        meter.data_toc()
        batch = Batch(loaded, device)
        with computing_in(cfg.TRAIN.PRECISION, device):
            output = model(batch.inputs)
        tally.count(logits_of(output), batch.labels)
        if segments is not None:
            segments.add(output, loaded)
        tally.end_step()
        if (iteration + 1) % cfg.LOG_PERIOD == 0:
            _record_validation(tally, meter)
        meter.iter_toc()
        meter.log_iter_stats(epoch, iteration)
        meter.iter_tic()
    _record_validation(tally, meter)
    if val_loader.agreed:
        meter.reset()
        return None
    totals = [meter.num_top1_mis, meter.num_top5_mis, meter.num_samples]
    meter.num_top1_mis, meter.num_top5_mis, meter.num_samples = all_reduce_sum([float(x) for x in totals])
    # The meter adds up percent times videos.
    correct, scored = meter.num_samples - meter.num_top1_mis / 100, int(meter.num_samples)
    failed = val_loader.ledger.count(FAILED)
    host.get_logger(__name__).info(
        sentence_of_score(f"Validation of epoch {epoch + 1}", correct, scored, failed)
    )
    errors = meter.num_top1_mis / scored, meter.num_top5_mis / scored
    if segments is not None:
        precision = segments.precision()
        host.get_logger(__name__).info("Validation of epoch %d: %s", epoch + 1, sentence_of(precision))
        host.log_json_stats({"_type": "val_segments", "epoch": epoch + 1, **entries_of(precision)})
    meter.log_epoch_stats(epoch)
    meter.reset()
    return errors


def _record_validation(tally: Tally, meter) -> None:
    for step in tally.read():
        meter.update_stats(step.top1_error, step.top5_error, step.videos)
