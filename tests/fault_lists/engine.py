"""Faults of the area `engine`."""

from fault_lists import Fault

_CHECKPOINT = "slowfast_ext/host/checkpoint.py"
_COMMON = "slowfast_ext/distributed.py"
_START = "slowfast_ext/engine/start.py"
_TEST = "slowfast_ext/engine/test.py"
_METERS = "slowfast_ext/host/meters.py"
_TRAIN = "slowfast_ext/engine/train.py"
_VALIDATE = "slowfast_ext/engine/validate.py"
_BATCH_NORMS = "slowfast_ext/engine/batch_norms.py"
_SESSION = "slowfast_ext/engine/session.py"
_LEARNER = "slowfast_ext/engine/learner.py"
_OPTIMIZER = "slowfast_ext/engine/optimizer.py"
_TALLY = "slowfast_ext/engine/tally.py"
_TESTS = "tests/slowfast_ext/engine"
_BY_HAND = f"{_TESTS}/test_train.py"
_TWO = f"{_TESTS}/test_two_processes.py"

FAULTS = [
    Fault(
        "the learning rate changes by whole epochs",
        _TRAIN,
        "get_epoch_lr(epoch + iteration / num_batches, cfg)",
        "get_epoch_lr(epoch, cfg)",
        f"{_BY_HAND} -k cosine",
    ),
    Fault(
        "gradients are not clipped by norm",
        _TRAIN,
        "    if cfg.SOLVER.CLIP_GRAD_L2NORM:",
        "    if False:",
        f"{_BY_HAND} -k clipped",
    ),
    Fault(
        "gradients are not clipped by value",
        _TRAIN,
        "    if cfg.SOLVER.CLIP_GRAD_VAL:",
        "    if False:",
        f"{_BY_HAND} -k clipped",
    ),
    Fault(
        "gradients are clipped after the step",
        _TRAIN,
        "    scaler.unscale_(optimizer)\n",
        "    scaler.unscale_(optimizer)\n    optimizer.step()\n    optimizer.zero_grad()\n",
        f"{_BY_HAND} -k clipped",
    ),
    Fault(
        "gradients of earlier steps are kept",
        _TRAIN,
        "    optimizer.zero_grad()\n",
        "",
        f"{_BY_HAND} -k fresh_gradients",
    ),
    Fault(
        "precise batch norms are skipped",
        _TRAIN,
        "    if not (cfg.BN.USE_PRECISE_STATS and",
        "    if True or not (cfg.BN.USE_PRECISE_STATS and",
        f"{_BY_HAND} -k precise",
    ),
    Fault(
        "precise batch norms are always taken",
        _TRAIN,
        "    if not (cfg.BN.USE_PRECISE_STATS and",
        "    if not (",
        f"{_BY_HAND} -k precise",
    ),
    Fault(
        "top-5 of training is top-1",
        _TALLY,
        "topks_correct(logits, labels, (1, 5))",
        "topks_correct(logits, labels, (1, 1))",
        f"{_BY_HAND} -k errors_and_loss",
    ),
    Fault(
        "a loss that is no number goes on",
        _TRAIN,
        "if math.isnan(step.loss):",
        "if False:",
        f"{_BY_HAND} -k no_number",
    ),
    Fault(
        "training goes on in evaluation mode",
        _TRAIN,
        "    learner.model.train()\n",
        "",
        f"{_BY_HAND} -k mode",
    ),
    Fault(
        "validation runs in training mode",
        _VALIDATE,
        "unwrap(model).eval()",
        "unwrap(model).train()",
        f"{_BY_HAND} -k mode",
    ),
    Fault(
        "nothing is shuffled",
        _TRAIN,
        "        shuffle_dataset(session.train_loader, epoch)\n",
        "",
        f"{_BY_HAND} -k order_of_its_own",
    ),
    Fault(
        "a resumed run repeats its last epoch",
        _SESSION,
        "place = Place(epoch + 1, progress",
        "place = Place(epoch, progress",
        f"{_BY_HAND} -k resumed",
    ),
    Fault(
        "a resumed run has no optimizer state",
        _START,
        "restore_checkpoint(self.path, model, optimizer=optimizer, **options, **others)",
        "restore_checkpoint(self.path, model, **options, **others)",
        f"{_TESTS}/test_fine_tuning.py -k interrupted",
    ),
    Fault(
        "epoch reset is ignored",
        _CHECKPOINT,
        "if epoch_reset or inflation or partial:",
        "if inflation or partial:",
        f"{_TESTS}/test_start.py {_TESTS}/test_engine_checkpoint.py -k reset",
    ),
    Fault(
        "epoch reset is not passed on",
        _START,
        "        epoch_reset=section.CHECKPOINT_EPOCH_RESET,\n",
        "",
        f"{_TESTS}/test_start.py -k reset",
    ),
    Fault(
        "a checkpoint may not be on disk when it has its name",
        _CHECKPOINT,
        "        os.fsync(file.fileno())\n",
        "",
        f"{_TESTS}/test_engine_checkpoint.py -k on_disk",
    ),
    Fault(
        "a checkpoint is written under its own name",
        _CHECKPOINT,
        "os.path.join(os.path.dirname(path), UNFINISHED)",
        "path",
        f"{_TESTS}/test_engine_checkpoint.py -k fails",
    ),
    Fault(
        "AUTO_RESUME False is ignored",
        _START,
        "newest(cfg.OUTPUT_DIR) if section.AUTO_RESUME else None",
        "newest(cfg.OUTPUT_DIR)",
        f"{_TESTS}/test_start.py -k auto_resume",
    ),
    Fault(
        "a test prefers the checkpoint of TRAIN",
        _START,
        "for section in (cfg.TEST, cfg.TRAIN):",
        "for section in (cfg.TRAIN, cfg.TEST):",
        f"{_TESTS}/test_start.py -k prefers",
    ),
    Fault(
        "a test prefers the run's own checkpoint to the given one",
        _START,
        "None if cfg.TEST.CHECKPOINT_FILE_PATH else checkpoint.newest_checkpoint(cfg.OUTPUT_DIR)",
        "checkpoint.newest_checkpoint(cfg.OUTPUT_DIR)",
        f"{_TESTS}/test_start.py -k prefers",
    ),
    Fault(
        "a video with some views scored counts",
        _METERS,
        "meter.clip_count >= meter.num_clips",
        "meter.clip_count > 0",
        f"{_TESTS}/test_testing.py",
    ),
    Fault(
        "the time since the loop began is that of the epoch",
        _METERS,
        'times["run_seconds"] = time.perf_counter() - self._made',
        'times["run_seconds"] = self.seconds',
        "tests/slowfast_ext/host/test_meters.py::test_epochs_say_the_time_since_the_loop_began",
    ),
    Fault(
        "top-5 of a test is top-1",
        _METERS,
        "meter.video_labels[scored], (1, 5))",
        "meter.video_labels[scored], (1, 1))",
        f"{_TESTS}/test_testing.py",
    ),
    Fault(
        "saved scores are sums over the views",
        _TEST,
        "(meter.video_preds / meter.num_clips).numpy()",
        "meter.video_preds.numpy()",
        f"{_TESTS}/test_testing.py",
    ),
    Fault(
        "each process tests for itself",
        _TEST,
        "    _gather(meter)\n",
        "",
        f"{_TWO} -k a_test_counts",
    ),
    Fault(
        "sums of one process pass for those of all",
        _COMMON,
        "    dist.all_reduce(tensor)\n",
        "",
        _TWO,
    ),
    Fault(
        "the log of training is of one process",
        _TALLY,
        "            dist.all_reduce(counts)\n",
        "",
        f"{_TWO} -k log_of_training",
    ),
    Fault(
        "validation is of one process",
        _VALIDATE,
        "all_reduce_sum([float(x) for x in totals])",
        "[float(x) for x in totals]",
        f"{_TWO} -k validation",
    ),
    Fault(
        "precise batch norms are of one process",
        _BATCH_NORMS,
        "    if dist.is_initialized():\n        for buffer in model.buffers():",
        "    if False:\n        for buffer in model.buffers():",
        f"{_TWO} -k precise",
    ),
    Fault(
        "precise batch norms are summed over processes",
        _BATCH_NORMS,
        "                buffer.div_(dist.get_world_size())\n",
        "",
        f"{_TWO} -k precise",
    ),
    Fault(
        "parts of a batch are not averaged",
        _TRAIN,
        "scaler.scale(loss / count).backward()",
        "scaler.scale(loss).backward()",
        f"{_TESTS}/test_accumulation.py",
    ),
    Fault(
        "processes exchange gradients after every part",
        _TRAIN,
        "if several and not exchange",
        "if False and not exchange",
        f"{_TESTS}/test_accumulation.py -k exchange",
    ),
    Fault(
        "gradients are clipped before they are scaled back",
        _TRAIN,
        "    scaler.unscale_(optimizer)\n",
        "",
        f"{_TESTS}/test_precision.py -k scaling",
    ),
    Fault(
        "validation computes as the test does",
        _VALIDATE,
        "        with computing_in(cfg.TRAIN.PRECISION, device):\n            scores",
        "        with computing_in(cfg.TEST.PRECISION, device):\n            scores",
        f"{_TESTS}/test_precision.py -k validation",
    ),
    Fault(
        "the scaler is not saved",
        _CHECKPOINT,
        'state["scaler_state"] = scaler.state_dict()',
        "pass",
        f"{_TESTS}/test_precision.py -k goes_on",
    ),
    Fault(
        "scores are of the precision of the layers",
        "slowfast_ext/models.py",
        "    score_in_float32(unwrap(model))\n",
        "",
        f"{_TESTS}/test_precision.py -k add_up",
    ),
    Fault(
        "an average starts anew when a run continues",
        _CHECKPOINT,
        "average.load_state_dict(known or target.state_dict())",
        "average.load_state_dict(target.state_dict())",
        f"{_TESTS}/test_ema.py -k interrupted",
    ),
    Fault(
        "validation sees the weights, not their average",
        _LEARNER,
        "return self.models[-1]",
        "return self.model",
        f"{_TESTS}/test_ema.py -k validation",
    ),
    Fault(
        "a test takes the weights, not their average",
        _CHECKPOINT,
        "averaged=not continues)",
        "averaged=False)",
        f"{_TESTS}/test_ema.py -k validation",
    ),
    Fault(
        "layers have one rate",
        _OPTIMIZER,
        "scales.get(parameter, 1.0)",
        "1.0",
        f"{_TESTS}/test_optimizer_of_loops.py -k layers",
    ),
    Fault(
        "a step reads its loss",
        _TRAIN,
        "        tally.count(*comparable(logits.detach(), batch.labels, cfg), loss)\n",
        "        loss.item()\n        tally.count(*comparable(logits.detach(), batch.labels, cfg), loss)\n",
        f"{_TESTS}/test_no_waiting.py -k training_step",
    ),
    Fault(
        "frame indices are looked at on a GPU",
        "projects/vtn/checks.py",
        'frame_indices.device.type == "cpu" and ',
        "",
        f"{_TESTS}/test_no_waiting.py -k test_step",
    ),
    Fault(
        "all processes draw the same numbers",
        _COMMON,
        "(seed * 1009 + rank())",
        "(seed * 1009)",
        f"{_TWO} -k random_numbers",
    ),
]
