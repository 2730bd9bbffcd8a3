"""Testing: multi-view or full video, softmax scores averaged over the views of a video (paper sec. 4.1)."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import distributed as dist
from torch import nn

from slowfast_ext.data.build import construct_loader
from slowfast_ext.data.ledger import REPAIRED
from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.data.stored_videos import use_stored_features
from slowfast_ext.distributed import device_of, is_master, on_backend, seed_everything, unwrap
from slowfast_ext.engine import start
from slowfast_ext.engine.batch import Batch
from slowfast_ext.engine.board import Board
from slowfast_ext.engine.compilation import compile_parts
from slowfast_ext.engine.facts import facts_for_log, log_model_info
from slowfast_ext.engine.localizing import entries_of, logits_of, segments_to_find, sentence_of
from slowfast_ext.engine.pace import with_bar
from slowfast_ext.engine.precision import computing_in
from slowfast_ext.engine.run_files import write_test_config
from slowfast_ext.files import write_text
from slowfast_ext.host import get_host
from slowfast_ext.host.meters import score_videos, videos_scored
from slowfast_ext.host.metrics import without_needless_top5
from vtn.errors import InputError
from vtn.localization import Localized


def test(cfg) -> None:
    """Test the model of TEST.CHECKPOINT_FILE_PATH, else the newest checkpoint of OUTPUT_DIR.

    Args:
        cfg: Complete configuration. The result is the last line of the log, `json_stats` with split
            test_final, and OUTPUT_DIR/test_results.json.

    Raises:
        InputError: On a list or checkpoint that cannot be used, or when no video could be read.
    """
    host = get_host()
    logger = host.get_logger(__name__)
    seed_everything(cfg.RNG_SEED)
    source = start.find_test_source(cfg)
    loader = construct_loader(cfg, "test")
    model = start.make_model_of(cfg, source)
    log_model_info(model, cfg, train=False)
    epochs = 0 if source is None else source.load(model) + 1
    use_stored_features(model, [loader.dataset])
    write_test_config(cfg)  # what is refused leaves none behind
    compile_parts(model, cfg)
    board = Board(cfg)
    logger.info("Testing model for %d iterations", len(loader))
    board.draw_test(epochs, perform_test(loader, model, cfg))
    board.close()


@torch.no_grad()
def perform_test(loader: VideoLoader, model: nn.Module, cfg) -> dict[str, Any]:
    """Score every view, average the scores of each video, log the accuracy; returns what is logged."""
    host = get_host()
    logger = host.get_logger(__name__)
    model = unwrap(model).eval()
    dataset = loader.dataset
    views = dataset.num_views if hasattr(dataset, "num_views") else dataset._num_clips
    videos = len(dataset) // views
    num_batches = len(loader)
    meter = host.TestMeter(videos, views, cfg.MODEL.NUM_CLASSES, num_batches)
    meter.facts = facts_for_log(model, cfg, train=False)
    device = device_of(cfg)
    scored, segments = [], segments_to_find(model, cfg)
    meter.iter_tic()
    for iteration, loaded in enumerate(with_bar(loader, num_batches, "test")):
        meter.data_toc()
        output = test_step(loaded, model, device, cfg)
        scored.append((logits_of(output), *loaded[1:3]))
        if segments is not None:
            segments.add(output, loaded)
        due = (iteration + 1) % cfg.LOG_PERIOD == 0 or iteration + 1 == num_batches
        if due:
            _record(scored, meter)
        meter.iter_toc()
        if due:
            meter.log_iter_stats(iteration)
        meter.iter_tic()
    _record(scored, meter)
    _gather(meter)
    meter.stats = score_videos(meter)
    if segments is not None:
        precision = segments.precision()
        meter.stats |= entries_of(precision)
        logger.info("Test: %s", sentence_of(precision))
    if is_master():
        host.log_json_stats(without_needless_top5(meter.stats, cfg.MODEL.NUM_CLASSES))
        write_results(meter, loader, model, cfg)
        if segments is not None:
            logger.info("Segments: %s", segments.write(cfg.OUTPUT_DIR, dataset.paths, model.class_names))
        tested = meter.stats["num_videos"], views, meter.stats["evaluation_seconds"]
        logger.info("Tested %d videos x %d views in %.1f s", *tested)
        logger.info("Results and log: %s", cfg.OUTPUT_DIR)
    return meter.stats


def test_step(loaded: Any, model: nn.Module, device: torch.device, cfg) -> torch.Tensor | Localized:
    """What the model says of a batch, on the device; nothing is read from there.

    Returns:
        Scores (N, K) float32; of a model that finds segments all of Localized, with those for its logits.
    """
    batch = Batch(loaded, device)
    with computing_in(cfg.TEST.PRECISION, device):
        output = model(batch.inputs)
    return output if isinstance(output, Localized) else output.float()


def _record(scored: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], meter) -> None:
    """Hand scores, labels and items of some batches to the meter, and forget them; a GPU finishes first."""
    if scored:
        scores, labels, items = (torch.cat(column) for column in zip(*scored, strict=True))
        meter.update_stats(scores.cpu(), labels, items)
        scored.clear()


def _gather(meter) -> None:
    """Add up the meters of all processes; a video's views are all in one of them."""
    if not dist.is_initialized():
        return
    for tensor in (meter.video_preds, meter.video_labels, meter.clip_count):
        shared = on_backend(tensor)
        dist.all_reduce(shared)
        tensor.copy_(shared)


def write_results(meter, loader: Any, model: nn.Module, cfg) -> None:
    """Write OUTPUT_DIR/test_results.json, and the scores if TEST.SAVE_RESULTS_PATH; only the first process.

    Args:
        meter: With `stats` of `score_videos`.
        loader: Whose pass has ended. One of main's own data sets has no ledger, and its scores are not
            written here.
        model: That was tested, wrapped for several processes or not.
        cfg: Keys OUTPUT_DIR, MODEL.NUM_CLASSES and TEST.SAVE_RESULTS_PATH.
    """
    if not is_master():
        return
    with_ledger = isinstance(loader, VideoLoader)
    stats = without_needless_top5(meter.stats, cfg.MODEL.NUM_CLASSES) | _frames_encoded(model)
    if with_ledger:
        stats["num_repaired"] = loader.ledger.count(REPAIRED)
    write_text(Path(cfg.OUTPUT_DIR) / "test_results.json", json.dumps(stats, indent=1) + "\n")
    if cfg.TEST.SAVE_RESULTS_PATH and with_ledger:
        labels = meter.video_labels
        if hasattr(loader.dataset, "labels"):
            labels = torch.tensor(loader.dataset.labels)  # also of the videos that could not be read
        arrays = {"scores": (meter.video_preds / meter.num_clips).numpy(), "labels": labels.numpy()}
        arrays |= {"scored": videos_scored(meter).numpy(), "paths": np.array(loader.ledger.paths)}
        path = os.path.join(cfg.OUTPUT_DIR, cfg.TEST.SAVE_RESULTS_PATH)
        try:
            np.savez(path, **arrays)
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}.") from error


def _frames_encoded(model: nn.Module) -> dict[str, int]:
    """How many frames VTN.REUSE_FRAMES compared and how many it had encoded, in this process."""
    counts = getattr(unwrap(model), "frame_counts", None)
    return {f"num_frames_{name}": counts[name] for name in ("compared", "encoded")} if counts else {}
