"""Faults of the area `engine`."""

from fault_lists import Fault

_CHECKPOINT = "slowfast_ext/host/checkpoint.py"
_COMMON = "slowfast_ext/distributed.py"
_START = "slowfast_ext/engine/start.py"
_TEST = "slowfast_ext/engine/test.py"
_METERS = "slowfast_ext/host/meters.py"
_TRAIN = "slowfast_ext/engine/train.py"
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
        "    optimizer.zero_grad()\n    loss.backward()\n",
        "    loss.backward()\n    optimizer.step()\n    optimizer.zero_grad()\n",
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
        "if (save or evaluate) and cfg.BN.USE_PRECISE_STATS",
        "if False and cfg.BN.USE_PRECISE_STATS",
        f"{_BY_HAND} -k precise",
    ),
    Fault(
        "precise batch norms are always taken",
        _TRAIN,
        "(save or evaluate) and cfg.BN.USE_PRECISE_STATS",
        "(save or evaluate)",
        f"{_BY_HAND} -k precise",
    ),
    Fault(
        "top-5 of training is top-1",
        _TRAIN,
        "topks_correct(*answers, (1, 5))",
        "topks_correct(*answers, (1, 1))",
        f"{_BY_HAND} -k errors_and_loss",
    ),
    Fault(
        "top-5 of validation is top-1",
        _TRAIN,
        "topks_correct(model(batch.inputs), batch.labels, (1, 5))",
        "topks_correct(model(batch.inputs), batch.labels, (1, 1))",
        f"{_BY_HAND} -k errors_and_loss",
    ),
    Fault(
        "a loss that is no number goes on",
        _TRAIN,
        "if math.isnan(loss_sum):",
        "if False:",
        f"{_BY_HAND} -k no_number",
    ),
    Fault(
        "training goes on in evaluation mode",
        _TRAIN,
        "    model.train()\n",
        "",
        f"{_BY_HAND} -k mode",
    ),
    Fault(
        "validation runs in training mode",
        _TRAIN,
        "    ).eval()",
        "    ).train()",
        f"{_BY_HAND} -k mode",
    ),
    Fault(
        "nothing is shuffled",
        _TRAIN,
        "        shuffle_dataset(train_loader, epoch)\n",
        "",
        f"{_BY_HAND} -k order_of_its_own",
    ),
    Fault(
        "a resumed run repeats its last epoch",
        _TRAIN,
        "source.load(model, optimizer) + 1",
        "source.load(model, optimizer)",
        f"{_BY_HAND} -k resumed",
    ),
    Fault(
        "a resumed run has no optimizer state",
        _START,
        "restore_checkpoint(self.path, model, optimizer=optimizer, **options)",
        "restore_checkpoint(self.path, model, **options)",
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
        'os.path.join(os.path.dirname(path), "unfinished.part")',
        "path",
        f"{_TESTS}/test_engine_checkpoint.py -k fails",
    ),
    Fault(
        "AUTO_RESUME False is ignored",
        _START,
        "checkpoint.newest_checkpoint(cfg.OUTPUT_DIR) if section.AUTO_RESUME else None",
        "checkpoint.newest_checkpoint(cfg.OUTPUT_DIR)",
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
        _TRAIN,
        "all_reduce_sum([*correct, loss.item() * len(batch), len(batch)])",
        "[*correct, loss.item() * len(batch), len(batch)]",
        f"{_TWO} -k log_of_training",
    ),
    Fault(
        "validation is of one process",
        _TRAIN,
        "all_reduce_sum([float(x) for x in totals])",
        "[float(x) for x in totals]",
        f"{_TWO} -k validation",
    ),
    Fault(
        "precise batch norms are of one process",
        _TRAIN,
        "        _average_buffers(unwrap(model))\n",
        "        pass\n",
        f"{_TWO} -k precise",
    ),
    Fault(
        "precise batch norms are summed over processes",
        _TRAIN,
        "            buffer.div_(dist.get_world_size())\n",
        "",
        f"{_TWO} -k precise",
    ),
    Fault(
        "all processes draw the same numbers",
        _COMMON,
        "(seed * 1009 + rank())",
        "(seed * 1009)",
        f"{_TWO} -k random_numbers",
    ),
]
