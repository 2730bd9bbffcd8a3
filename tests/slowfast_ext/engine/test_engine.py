"""Training and testing, through the functions and through the command that users type."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from tiny_runs import MULTI_VIEW, NO_DROPOUT, ROOT, UNTRAINED, command, stats, without_costs

import vtn
from slowfast_ext.config_limits import uses_own_loops
from slowfast_ext.data.build import construct_loader
from slowfast_ext.distributed import seed_everything
from slowfast_ext.engine.test import perform_test
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.models import make_model
from slowfast_ext.plugin import loops
from vtn import InputError

host = get_host()
WHEEL = host.NAME == "wheel"  # its loops are ours; main has its own


def weights(output_dir, epoch: int = 2) -> dict[str, torch.Tensor]:
    path = checkpoint.checkpoint_path(str(output_dir), epoch)
    return torch.load(path, weights_only=True)["model_state"]


def test_train_and_test_by_command(run_net, tmp_path):
    result = run_net(tmp_path / "out", "TRAIN.EVAL_PERIOD", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    log = (tmp_path / "out" / "stdout.log").read_text()
    assert (
        len(stats(log, _type="train_iter" if WHEEL else "train_iter_")) == 4
    )  # 2 epochs of 8 videos in batches of 4
    assert [line["epoch"] for line in stats(log, _type="val_epoch")] == ["1/2", "2/2"]
    (final,) = stats(log, split="test_final")
    assert (final["num_videos"], final["num_failed"], final["num_views"]) == (7, 0, 1)
    # Validation and test see the same full videos with the same weights; 7 is not a multiple of the batch.
    assert 100 - stats(log, _type="val_epoch")[-1]["top1_err"] == pytest.approx(
        float(final["top1_acc"]), abs=0.01
    )
    assert f"Results and log: {tmp_path / 'out'}" in log


@pytest.mark.slow
def test_an_encoder_of_another_library_trains_and_tests(run_net, tmp_path):
    done = run_net(tmp_path / "out", "VTN.SEQUENCE_ENCODER", "longformer", "SOLVER.MAX_EPOCH", "1")
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "out" / "test_results.json").read_text())
    assert results["num_videos"] == 7
    assert results["gflops_per_view"] > 0  # counting needs values for this one


def test_one_step_equals_sgd_by_hand(tiny_cfg):
    """Nesterov's first step moves a weight by lr * (1 + momentum) * (gradient + decay * weight)."""
    cfg = tiny_cfg("SOLVER.MAX_EPOCH", "1", "TRAIN.BATCH_SIZE", "8", *NO_DROPOUT)
    loops.train(cfg)
    dataset = construct_loader(cfg, "train").dataset
    items = [dataset[index] for index in range(8)]
    clips = torch.cat([item[0][0].clips(cfg.DATA.MEAN, cfg.DATA.STD) for item in items])
    frame_indices = torch.stack([item[0][1] for item in items])
    (seed_everything if WHEEL else torch.manual_seed)(cfg.RNG_SEED)
    model = make_model(cfg).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    logits = vtn.VTN.forward(model, clips, frame_indices)
    torch.nn.functional.cross_entropy(logits, torch.tensor([item[1] for item in items])).backward()
    after = weights(cfg.OUTPUT_DIR, epoch=1)
    solver = cfg.SOLVER
    for name, parameter in model.named_parameters():
        expected = before[name]
        if parameter.requires_grad:
            direction = parameter.grad + solver.WEIGHT_DECAY * before[name]
            expected = expected - solver.BASE_LR * (1 + solver.MOMENTUM) * direction
        torch.testing.assert_close(after[name], expected, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.slow
def test_two_processes_train_and_three_test_as_one(run_net, tmp_path):
    scores = {}
    for processes in ("1", "2"):
        out = tmp_path / processes
        overrides = [*NO_DROPOUT, "VTN.CPU_PROCESSES", processes, "TEST.SAVE_RESULTS_PATH", "results.npz"]
        result = run_net(out, *overrides)
        assert result.returncode == 0, result.stdout + result.stderr
        full = np.load(out / "results.npz")["scores"]
        result = run_net(out, *overrides, *MULTI_VIEW)
        assert result.returncode == 0, result.stdout + result.stderr
        saved = np.load(out / "results.npz")
        assert saved["scored"].all()
        scores[processes] = (
            full,
            saved["scores"],
            [without_costs(line) for line in stats((out / "stdout.log").read_text(), split="test_final")],
        )
    one, two = weights(tmp_path / "1"), weights(tmp_path / "2")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-5, rtol=1e-4, msg=name)
    for one, two in zip(scores["1"][:2], scores["2"][:2], strict=True):
        np.testing.assert_allclose(two, one, atol=1e-4)
    assert scores["1"][2] == scores["2"][2]
    # The batch sizes must be multiples of the processes, so three only test what one has trained.
    three = "VTN.CPU_PROCESSES 3 TRAIN.BATCH_SIZE 6 TEST.SAVE_RESULTS_PATH results.npz".split()
    trained = ["TEST.CHECKPOINT_FILE_PATH", checkpoint.checkpoint_path(str(tmp_path / "1"), 2)]
    result = run_net(tmp_path / "3", *NO_DROPOUT, *three, *trained, *MULTI_VIEW)
    assert result.returncode == 0, result.stdout + result.stderr
    np.testing.assert_allclose(np.load(tmp_path / "3" / "results.npz")["scores"], scores["1"][1], atol=1e-4)
    (final,) = stats((tmp_path / "3" / "stdout.log").read_text(), split="test_final")
    assert without_costs(final) == scores["1"][2][-1]


@pytest.mark.slow
def test_killed_run_continues_as_if_it_had_not_been(run_net, tiny_config, data_dir, tmp_path):
    assert run_net(tmp_path / "whole", "TEST.ENABLE", "False").returncode == 0
    out = tmp_path / "killed"
    process = subprocess.Popen(
        command(tiny_config, data_dir, out, "TEST.ENABLE", "False"), cwd=ROOT, stdout=subprocess.DEVNULL
    )
    first = checkpoint.checkpoint_path(str(out), 1)
    while not os.path.exists(first) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(checkpoint.list_checkpoints(str(out))) == 1
    result = run_net(out, "TEST.ENABLE", "False")
    assert result.returncode == 0
    assert "Start epoch: 2" in result.stdout
    whole, resumed = weights(tmp_path / "whole"), weights(out)
    assert all(torch.equal(resumed[name], tensor) for name, tensor in whole.items())


def test_damaged_last_checkpoint_is_skipped(tiny_cfg, tmp_path):
    cfg = tiny_cfg()
    loops.train(cfg)
    last = checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 2)
    os.truncate(last, os.path.getsize(last) // 2)
    assert checkpoint.newest_checkpoint(cfg.OUTPUT_DIR) == checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 1)
    assert re.search(
        r"Skipping a damaged checkpoint: .*00002\.pyth", (tmp_path / "out/stdout.log").read_text()
    )


def test_scores_are_the_mean_softmax_of_the_views(tiny_cfg):
    cfg = tiny_cfg(*MULTI_VIEW, "TEST.SAVE_RESULTS_PATH", "results.npz")
    model = make_model(cfg)
    loader = construct_loader(cfg, "test")
    assert (loader.timeout, loader.memory) == (cfg.DATA_LOADER.VIDEO_TIMEOUT, cfg.DATA_LOADER.VIDEO_MEMORY)
    perform_test(loader, model, cfg)
    results = np.load(f"{cfg.OUTPUT_DIR}/results.npz")
    assert results["paths"][6].endswith("/6.mp4")
    saved = results["scores"]
    # Again by hand: `vtn.VTN.forward` gives logits, six views belong to a video.
    model.eval()
    for video in (0, 6):
        scores = []
        for view in range(6):
            frames, frame_indices = loader.dataset[video * 6 + view][0]
            features = model.frame_features(frames.clips(cfg.DATA.MEAN, cfg.DATA.STD))
            logits = model.classify(features, frame_indices[None])
            scores.append(logits.softmax(1)[0].detach().numpy())
        np.testing.assert_allclose(saved[video], np.mean(scores, axis=0), atol=1e-5)


def test_frames_that_are_not_encoded_are_told(tiny_cfg, tmp_path):
    """Twelve distinct frames of each of seven videos; at this threshold the first one stands for all."""
    loops.test(tiny_cfg("VTN.REUSE_FRAMES", "1.0", *UNTRAINED))
    results = json.loads((tmp_path / "out/test_results.json").read_text())
    assert (results["num_frames_compared"], results["num_frames_encoded"]) == (7 * 12, 7)
    loops.test(tiny_cfg(*UNTRAINED))
    assert "num_frames_encoded" not in json.loads((tmp_path / "out/test_results.json").read_text())


def test_the_hosts_own_data_set_and_model(tiny_cfg, data_dir, tmp_path):
    """PySlowFast's Kinetics with its I3D, without anything of VTN in between but the loops."""
    cfg = tiny_cfg(
        *"MODEL.MODEL_NAME ResNet MODEL.ARCH i3d TRAIN.DATASET kinetics TEST.DATASET kinetics".split(),
        *"TRAIN.EVAL_FULL_VIDEO False TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 3".split(),
        *"RESNET.WIDTH_PER_GROUP 8 BN.USE_PRECISE_STATS True BN.NUM_BATCHES_PRECISE 2".split(),
        *("SOLVER.MAX_EPOCH", "1", "DATA.PATH_PREFIX", str(data_dir)),
    )
    loops.train(cfg)
    loops.test(cfg)
    log = (tmp_path / "out" / "stdout.log").read_text()
    assert len(stats(log, _type="train_iter" if WHEEL else "train_iter_")) == 2
    (final,) = stats(log, split="test_final")
    assert (final["num_videos"], final["num_failed"], final["num_views"]) == (7, 0, 6)


@pytest.fixture
def broken_data_dir(data_dir, tmp_path):
    """As data_dir, but the second video is cut in the middle and the fifth is empty."""
    folder = tmp_path / "broken"
    shutil.copytree(data_dir, folder)
    os.truncate(folder / "1.mp4", (folder / "1.mp4").stat().st_size // 2)
    os.truncate(folder / "4.mp4", 0)
    return folder


def test_unreadable_videos_are_counted_and_named(tiny_cfg, broken_data_dir, tmp_path):
    save = ["SOLVER.MAX_EPOCH", "1", "TEST.SAVE_RESULTS_PATH", "results.npz"]
    cfg = tiny_cfg("DATA.PATH_TO_DATA_DIR", str(broken_data_dir), *save)
    loops.train(cfg)
    loops.test(cfg)
    log = (tmp_path / "out" / "stdout.log").read_text()
    for split, counts in (
        ("train", "8 videos: 4 used, 0 repaired, 2 failed, 2 not used"),  # one whole batch of 4
        ("val", "7 videos: 5 used, 0 repaired, 2 failed"),
        ("test", "7 videos: 5 used, 0 repaired, 2 failed"),
    ):
        assert f"Ledger of {split}: {counts} ({tmp_path / 'out'}/ledger_{split}.csv)" in log
    assert re.search(r"  failed: /.*broken/1\.mp4 cannot be decoded", log)
    assert re.search(r"  failed: /.*broken/4\.mp4 is empty", log)
    with open(tmp_path / "out" / "ledger_test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == ["used", "failed", "used", "used", "failed", "used", "used"]
    assert [row["label"] for row in rows] == [str(number % 5) for number in range(7)]
    assert rows[4]["reason"].endswith("broken/4.mp4 is empty (0 bytes).")
    (epoch,) = stats(log, _type="val_epoch")
    right = round(5 * (1 - float(epoch["top1_err"]) / 100))
    assert (
        not WHEEL
        or (
            f"Validation of epoch 1: top-1 accuracy {100 * right / 5:.2f} % over 5 of 7 videos; "
            f"{100 * right / 7:.2f} % if the 2 that failed were all wrong, "
            f"{100 * (right + 2) / 7:.2f} % if all were right"
        )
        in log
    )
    (final,) = stats(log, split="test_final")
    assert (final["num_videos"], final["num_failed"]) == (5, 2)
    right = round(float(final["top1_acc"]) * 5 / 100)
    assert final["top1_acc_if_failed_wrong"] == f"{100 * right / 7:.2f}"
    assert final["top1_acc_if_failed_right"] == f"{100 * (right + 2) / 7:.2f}"
    wrong, all_right = final["top1_acc_if_failed_wrong"], final["top1_acc_if_failed_right"]
    assert (
        f"Test: top-1 accuracy {final['top1_acc']} % over 5 of 7 videos; {wrong} % if the 2 that failed "
        f"were all wrong, {all_right} % if all were right"
    ) in log
    results = np.load(tmp_path / "out" / "results.npz")
    assert results["scored"].tolist() == [True, False, True, True, False, True, True]
    assert results["labels"].tolist() == [number % 5 for number in range(7)]


def test_failed_videos_do_not_stop_precise_batch_norms(tiny_cfg, broken_data_dir, tmp_path):
    """Six of eight videos can be read: batches of two are three, where the list promises four."""
    cfg = tiny_cfg(
        *("DATA.PATH_TO_DATA_DIR", str(broken_data_dir), "SOLVER.MAX_EPOCH", "2", "TRAIN.BATCH_SIZE", "2"),
        *"MODEL.MODEL_NAME ResNet MODEL.ARCH i3d RESNET.WIDTH_PER_GROUP 8 LOG_MODEL_INFO False".split(),
        *"BN.USE_PRECISE_STATS True BN.NUM_BATCHES_PRECISE 200".split(),
    )
    loops.train(cfg)
    assert checkpoint.newest_checkpoint(cfg.OUTPUT_DIR) == checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 2)


def test_no_readable_video_at_all(tiny_cfg, data_dir, tmp_path):
    folder = tmp_path / "empty"
    shutil.copytree(data_dir, folder)
    for path in folder.glob("*.mp4"):
        os.truncate(path, 0)
    cfg = tiny_cfg("DATA.PATH_TO_DATA_DIR", str(folder), *UNTRAINED)
    with pytest.raises(
        InputError,
        match="no whole batch of videos of the training list could be read: .* 8 failed",
    ):
        loops.train(cfg)
    with pytest.raises(InputError, match="no video of the test list could be read"):
        loops.test(cfg)


def bad_checkpoint(kind: str, folder) -> str:
    path = folder / f"{kind}.pyth"
    if kind == "truncated":
        torch.save({"model_state": {"w": torch.zeros(999)}}, path)
        os.truncate(path, 300)
    elif kind == "pickle":
        torch.save({"model_state": Payload(folder / "ran")}, path)
    elif kind == "other_model":
        torch.save({"model_state": {"s1.conv.weight": torch.zeros(3)}}, path)
    return str(path)


class Payload:
    """Pickles into a call that would create a file."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(
    ("kind", "message"),
    [("truncated", "damaged, cut short"), ("pickle", "can run code"), ("other_model", "is of another model")],
)
def test_bad_checkpoint_is_named(kind, message, tiny_cfg, tmp_path):
    path = bad_checkpoint(kind, tmp_path)
    with pytest.raises(InputError, match=rf"{kind}\.pyth.*{message}"):
        loops.test(tiny_cfg("TEST.CHECKPOINT_FILE_PATH", path))
    assert not (tmp_path / "ran").exists()


def test_checkpoint_with_other_optimizer_is_named(tiny_cfg):
    loops.train(tiny_cfg("SOLVER.MAX_EPOCH", "1"))
    cfg = tiny_cfg("SOLVER.MAX_EPOCH", "2", "VTN.FREEZE_BACKBONE", "True")
    with pytest.raises(InputError, match="00001.pyth: its optimizer state does not fit"):
        loops.train(cfg)


def test_checkpoint_holds_what_pyslowfast_writes(tiny_cfg):
    cfg = tiny_cfg("SOLVER.MAX_EPOCH", "1", "SOLVER.OPTIMIZING_METHOD", "adamw")
    loops.train(cfg)
    path = checkpoint.checkpoint_path(cfg.OUTPUT_DIR, 1)
    assert path.endswith("/checkpoints/checkpoint_epoch_00001.pyth")
    content = torch.load(path, weights_only=True)
    # vtn: see vtn.Recipe; run: what our loops need to go on.
    of_our_loops = {"run"} if uses_own_loops(cfg) else set()
    assert content.keys() == {"epoch", "model_state", "optimizer_state", "cfg", "vtn"} | of_our_loops
    assert content["epoch"] == 0
    assert "NUM_CLASSES: 5" in content["cfg"]
    assert not [name for name in os.listdir(os.path.dirname(path)) if name.endswith(".part")]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["DATA.PATH_TO_DATA_DIR", "nowhere"], "error: nowhere/train.csv does not exist"),
        (["DATA.NUM_FRAMES", "0"], "error: DATA.NUM_FRAMES is 0"),
        (["VTN.BACKBONE", "resnte50"], "error: .*resnte50"),
        pytest.param(["VTN.NUM_ATTENTION_HEADS", "5"], "error: .*5", marks=pytest.mark.slow),
        (["MODEL.NUM_CLASSES", "3"], "error: .*train.csv line 4 has label 3, but MODEL.NUM_CLASSES is 3"),
    ],
)
def test_bad_input_is_one_line_and_no_traceback(overrides, message, run_net, tmp_path):
    result = run_net(tmp_path / "out", *overrides)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr + result.stdout
    assert re.search(message, result.stderr)


def test_bad_input_in_a_child_process_is_the_last_line(tiny_config, data_dir, tmp_path):
    """In one stream, as on a screen: after what main prints and what ends the other process says."""
    overrides = ["VTN.CPU_PROCESSES", "2", "MODEL.NUM_CLASSES", "3"]
    line = command(tiny_config, data_dir, tmp_path / "out", *overrides)
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout
    assert done.stdout.count("error: ") == 1
    assert re.fullmatch(r"error: .*train\.csv line 4 has label 3, .*", done.stdout.splitlines()[-1])
