"""Faults of the area `host`."""

from fault_lists import Fault

_CALIBRATION = "slowfast_ext/host/calibration.py"
_GIT_CHECKPOINT = "slowfast_ext/host/git_checkpoint.py"
_HEADS = "slowfast_ext/host/heads.py"
_LOADER = "slowfast_ext/data/build.py"
_OPTIMIZER = "slowfast_ext/host/optimizer.py"
_SHARES = "slowfast_ext/data/sampler.py"
_WHEEL = "slowfast_ext/host/wheel.py"
_BY_HAND = "tests/slowfast_ext/engine/test_train.py"
_TESTS = "tests/slowfast_ext/host"

FAULTS = [
    Fault(
        "X3D keeps the pool of its training length",
        _HEADS,
        '("_avgpool", "avg_pool")',
        '("_avgpool",)',
        f"{_TESTS}/test_mains_configurations.py::test_x3d_averages_over_all_frames",
        main=True,
    ),
    Fault(
        "MViT is built where tensors hold no numbers",
        "slowfast_ext/host/git_models.py",
        '"MViT" in cfg.MODEL.MODEL_NAME',
        "False",
        f"{_TESTS}/test_mains_configurations.py::test_counts_of_x3d_and_mvit_are_the_published_ones",
        main=True,
    ),
    Fault(
        "time in memory begins with a frame that cannot be decoded",
        "slowfast_ext/host/memory_video.py",
        "times[max(info.first, info.decodable[0])]",
        "times[info.decodable[0]]",
        "tests/slowfast_ext/host/test_memory_video.py::test_file_without_its_beginning",
    ),
    Fault(
        "torchvision's functions turn pictures",
        "slowfast_ext/host/memory_video.py",
        "upright=False",
        "upright=True",
        "tests/slowfast_ext/host/test_memory_video.py::test_rotation_tags_are_ignored",
    ),
    Fault(
        "dropout depends on what ran before",
        _LOADER,
        "    seed_everything(loader.sampler.seed + 1 + cur_epoch)\n",
        "",
        f"{_BY_HAND} -k dropout",
    ),
    Fault(
        "every epoch has the same order",
        _LOADER,
        "    loader.sampler.set_epoch(cur_epoch)\n",
        "",
        f"{_BY_HAND} -k order_of_its_own",
    ),
    Fault(
        "evaluation is shuffled",
        _LOADER,
        "shuffle=train, seed=cfg.RNG_SEED",
        "shuffle=True, seed=cfg.RNG_SEED",
        f"{_TESTS}/test_wheel_cures.py -k test_construct_loader",
    ),
    Fault(
        "processes have unequal shares of the training list",
        _SHARES,
        "order[rank : len(order) - len(order) % world : world]",
        "order[rank::world]",
        "tests/slowfast_ext/data/test_loader.py -k cannot_be_divided",
    ),
    Fault(
        "processes read the same videos",
        _SHARES,
        "order[rank : len(order) - len(order) % world : world]",
        "order[: len(order) // world]",
        "tests/slowfast_ext/data/test_loader.py -k cannot_be_divided",
    ),
    Fault(
        "one-dimensional weights are decayed",
        _OPTIMIZER,
        '(parameter.ndim == 1 or name == "bias")',
        'name == "bias"',
        f"{_TESTS}/test_optimizer.py -k decayed",
    ),
    Fault(
        "batch norms are decayed as other weights",
        _OPTIMIZER,
        '"params": batch_norm, "weight_decay": cfg.BN.WEIGHT_DECAY',
        '"params": batch_norm, "weight_decay": cfg.SOLVER.WEIGHT_DECAY',
        f"{_TESTS}/test_optimizer.py -k decayed",
    ),
    Fault(
        "BETAS are ignored by adamw",
        _OPTIMIZER,
        "torch.optim.AdamW(groups, lr=solver.BASE_LR, betas=tuple(solver.BETAS))",
        "torch.optim.AdamW(groups, lr=solver.BASE_LR)",
        f"{_TESTS}/test_optimizer.py -k adams",
    ),
    Fault(
        "BETAS are ignored by adam",
        _OPTIMIZER,
        "torch.optim.Adam(groups, lr=solver.BASE_LR, betas=tuple(solver.BETAS))",
        "torch.optim.Adam(groups, lr=solver.BASE_LR)",
        f"{_TESTS}/test_optimizer.py -k adams",
    ),
    Fault(
        "momentum is ignored",
        _OPTIMIZER,
        "            momentum=solver.MOMENTUM,\n            dampening=solver.DAMPENING,\n"
        "            nesterov=solver.NESTEROV,\n",
        "",
        f"{_BY_HAND} -k fresh_gradients",
    ),
    Fault(
        "several machines do not scale the learning rate",
        _WHEEL,
        "if cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS:",
        "if False:",
        f"{_TESTS}/test_optimizer.py -k machines",
    ),
    Fault(
        "several machines scale the learning rate but not the warm-up's",
        _WHEEL,
        '("BASE_LR", "WARMUP_START_LR", "COSINE_END_LR")',
        '("BASE_LR",)',
        f"{_TESTS}/test_optimizer.py -k machines",
    ),
    Fault(
        "the pool jumps by its window",
        _HEADS,
        "(x.shape[2], height, width), stride=1)",
        "(x.shape[2], height, width))",
        f"{_TESTS}/test_baselines.py",
    ),
    Fault(
        "the pool sees the first frame only",
        _HEADS,
        "F.avg_pool3d(x, (x.shape[2],",
        "F.avg_pool3d(x[:, :, :1], (1,",
        f"{_TESTS}/test_baselines.py",
    ),
    Fault(
        "a checkpoint of main may not be on disk when it has its name",
        _GIT_CHECKPOINT,
        '        with open(part, "rb+") as file:\n            os.fsync(file.fileno())\n',
        "",
        f"{_TESTS}/test_git_cures.py -k on_disk",
        main=True,
    ),
    Fault(
        "a score on the border of two bins is in the upper one",
        _CALIBRATION,
        "(best * num_bins).ceil().long().clamp(1, num_bins) - 1",
        "(best * num_bins).long().clamp(0, num_bins - 1)",
        f"{_TESTS}/test_calibration.py::test_a_score_on_a_border_is_in_the_bin_below_it",
    ),
    Fault(
        "a temperature is judged on the videos that it was fitted on",
        _CALIBRATION,
        "fit_temperature(scores[~half], labels[~half])",
        "fit_temperature(scores[half], labels[half])",
        f"{_TESTS}/test_calibration.py::test_no_video_has_a_part_in_the_temperature_that_it_is_judged_at",
    ),
    Fault(
        "the halves are every second video of the list",
        _CALIBRATION,
        "labels.argsort(stable=True).argsort() % 2",
        "torch.arange(len(labels)) % 2",
        f"{_TESTS}/test_calibration.py::test_both_halves_have_videos_of_each_class_where_the_classes_come_in_turn",
    ),
    Fault(
        "a score of zero has an infinite logarithm",
        _CALIBRATION,
        "scores.double().clamp(min=_SMALLEST).log()",
        "scores.double().log()",
        f"{_TESTS}/test_calibration.py::test_a_score_of_zero_for_the_truth_is_no_infinity",
    ),
    Fault(
        "videos that failed count in the calibration",
        "slowfast_ext/host/meters.py",
        "calibration(scores / meter.num_clips, labels)",
        "calibration(meter.video_preds / meter.num_clips, meter.video_labels)",
        f"{_TESTS}/test_calibration.py::test_a_test_writes_and_logs_them_without_the_videos_that_failed",
    ),
]
