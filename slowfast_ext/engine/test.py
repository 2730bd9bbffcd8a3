"""Testing: multi-view or full video, softmax scores averaged over the views of a video (paper sec. 4.1)."""

import json
import os
import time

import numpy as np
import torch
from torch import distributed as dist
from torch import nn

from slowfast_ext.data.ledger import FAILED, REPAIRED, accuracy_bounds
from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.engine import start
from slowfast_ext.engine.common import Batch, log_model_info, seed_everything, sentence_of_score
from slowfast_ext.host import get_host
from slowfast_ext.host.launch import is_master, unwrap
from vtn.errors import InputError


def test(cfg) -> None:
    """Test the model of TEST.CHECKPOINT_FILE_PATH, else the newest checkpoint of OUTPUT_DIR.

    Args:
        cfg: Complete configuration. The result is the last line of the log, `json_stats` with split
            test_final, and OUTPUT_DIR/test_results.json.

    Raises:
        InputError: On a list or checkpoint that cannot be used, or when no video could be read.
    """
    host = get_host()
    host.setup_logging(cfg.OUTPUT_DIR)
    logger = host.get_logger(__name__)
    seed_everything(cfg.RNG_SEED)
    logger.info("Host: %s", host.DESCRIPTION)
    logger.info("Test with config:\n%s", cfg.dump())

    loader = host.construct_loader(cfg, "test")
    source = start.find_test_source(cfg)
    model = start.build_model(cfg, source)
    log_model_info(model, cfg, train=False)
    if source is not None:
        source.load(model)
    logger.info("Testing model for %d iterations", len(loader))
    perform_test(loader, model, cfg)


@torch.no_grad()
def perform_test(loader: VideoLoader, model: nn.Module, cfg) -> None:
    """Score every view, average the scores of each video, log the accuracy."""
    host = get_host()
    logger = host.get_logger(__name__)
    model = unwrap(model).eval()
    dataset = loader.dataset
    views = dataset.num_views if hasattr(dataset, "num_views") else dataset._num_clips
    videos = len(dataset) // views
    num_batches = len(loader)
    meter = host.TestMeter(videos, views, cfg.MODEL.NUM_CLASSES, num_batches)
    device, started = host.device_of(cfg), time.perf_counter()
    meter.iter_tic()
    for iteration, loaded in enumerate(loader):
        batch = Batch(loaded, device)
        meter.update_stats(model(batch.inputs).cpu(), batch.labels.cpu(), batch.items)
        meter.iter_toc()
        if (iteration + 1) % cfg.LOG_PERIOD == 0 or iteration + 1 == num_batches:
            meter.log_iter_stats(iteration)
        meter.iter_tic()
    _gather(meter)
    if is_master():
        stats = _finalize(meter, loader, cfg)
        path = os.path.join(cfg.OUTPUT_DIR, "test_results.json")
        with open(path, "w") as file:
            json.dump(stats, file, indent=1)
        seconds = time.perf_counter() - started
        logger.info(
            "Tested %d of %d videos x %d views in %.1f s", stats["num_videos"], videos, views, seconds
        )
        host.log_json_stats(stats)
        logger.info("Results and log: %s", cfg.OUTPUT_DIR)


def _gather(meter) -> None:
    """Add up the meters of all processes; a video's views are all in one of them."""
    if not dist.is_initialized():
        return
    for tensor in (meter.video_preds, meter.video_labels, meter.clip_count):
        on_backend = tensor.cuda() if dist.get_backend() == "nccl" else tensor
        dist.all_reduce(on_backend)
        tensor.copy_(on_backend)


def _finalize(meter, loader: VideoLoader, cfg) -> dict:
    """Accuracy over the videos whose views were all scored; the others are counted, not guessed."""
    host, ledger = get_host(), loader.ledger
    failed = ledger.count(FAILED)
    scored = meter.clip_count == meter.num_clips
    count = int(scored.sum())
    if not count:
        raise InputError("no video of the test list could be read")
    scores, labels = meter.video_preds / meter.num_clips, meter.video_labels
    if hasattr(loader.dataset, "labels"):
        labels = torch.tensor(loader.dataset.labels)  # also of the videos that could not be read
    correct = [c.item() for c in host.topks_correct(scores[scored], labels[scored], (1, 5))]
    stats = {"split": "test_final"}
    for k, hits in zip((1, 5), correct, strict=True):
        stats[f"top{k}_acc"] = f"{100.0 * hits / count:.2f}"
        if failed:
            low, high = accuracy_bounds(hits, count, failed)
            stats[f"top{k}_acc_if_failed_wrong"], stats[f"top{k}_acc_if_failed_right"] = (
                f"{low:.2f}",
                f"{high:.2f}",
            )
    stats |= {"num_videos": count, "num_repaired": ledger.count(REPAIRED), "num_failed": failed}
    stats["num_views"] = meter.num_clips
    host.get_logger(__name__).info(sentence_of_score("Test", correct[0], count, failed))
    if cfg.TEST.SAVE_RESULTS_PATH:
        arrays = {"scores": scores.numpy(), "labels": labels.numpy(), "scored": scored.numpy()}
        arrays["paths"] = np.array(ledger.paths)
        np.savez(os.path.join(cfg.OUTPUT_DIR, cfg.TEST.SAVE_RESULTS_PATH), **arrays)
    return stats
