"""A run that is stopped anywhere ends with the same bits as one that is not, and says the same in its log."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import torch
from tiny_runs import without_costs
from toys import Numbers, ToyLinear, ToyNorm, assert_same, items_of, logged, train_steps

import slowfast_ext
import vtn
from slowfast_ext.data.ledger import FAILED, encode_outcome
from slowfast_ext.engine.stopping import Stopped
from slowfast_ext.host import checkpoint
from slowfast_ext.host.places import Place, inside_path, list_inside
from slowfast_ext.plugin import loops

ALL_AT_ONCE = (
    "SOLVER.MAX_EPOCH 2 TRAIN.BATCH_SIZE 2 TRAIN.EMA_DECAY 0.7 TRAIN.ACCUMULATE_STEPS 2 "
    "SOLVER.OPTIMIZING_METHOD adamw SOLVER.BASE_LR 0.01 SOLVER.LR_POLICY cosine LOG_PERIOD 3"
).split()


def stop_at(patch: pytest.MonkeyPatch, call: int, number: int = signal.SIGTERM) -> None:
    """The given signal comes while a toy computes for the `call`-th time from now."""
    forward, calls = ToyLinear.forward, iter(range(1, 10_000))

    def interrupted(self, inputs):
        if next(calls) == call:
            os.kill(os.getpid(), number)
        return forward(self, inputs)

    patch.setattr(ToyLinear, "forward", interrupted)


def train_in_parts(cfg, *calls: int) -> int:
    """Train; stop at the given calls of the model, and go on each time. Returns how often it was stopped."""
    stopped = 0
    for call in calls:
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, call)
            try:
                loops.train(cfg)
            except Stopped as error:
                stopped += error.code == 128 + signal.SIGTERM
    loops.train(cfg)
    return stopped


def content(cfg, epoch: int) -> dict:
    return torch.load(checkpoint.checkpoint_path(cfg.OUTPUT_DIR, epoch), weights_only=True)


def last_lines(cfg, kind: str) -> list[dict]:
    """What the log says of each epoch; what was done twice as it was done last."""
    lines = {line["epoch"]: without_costs(line) for line in logged(cfg, kind)}
    varying = ("eta", "dt", "dt_data", "dt_net", "time_diff", "RAM", "mem", "gpu_mem")
    return [{name: x for name, x in line.items() if name not in varying} for line in lines.values()]


def assert_same_run(one, other, epochs: int) -> None:
    for name in ("model_state", "optimizer_state", "ema_state", "epoch"):
        if name in content(one, epochs):
            assert_same(content(one, epochs)[name], content(other, epochs)[name], name)
    for kind in ("train_epoch", "val_epoch"):
        assert last_lines(one, kind) == last_lines(other, kind), kind
        assert len(logged(other, kind)) == epochs, kind
    ledgers = [Path(cfg.OUTPUT_DIR, "ledger_train.csv").read_text() for cfg in (one, other)]
    assert ledgers[0] == ledgers[1]
    files = [Path(cfg.OUTPUT_DIR, "checkpoints", "validations.json").read_text() for cfg in (one, other)]
    assert files[0] == files[1]
    assert not list_inside(other.OUTPUT_DIR)


@pytest.fixture
def two_cfgs(toy_cfg, tmp_path):
    """The same configuration for two folders."""

    def load(*overrides: str):
        return [toy_cfg(*overrides, "OUTPUT_DIR", str(tmp_path / name)) for name in ("whole", "cut")]

    return load


@pytest.mark.parametrize("call", range(1, 25))
def test_stopped_at_any_step_or_batch_of_a_validation(two_cfgs, call):
    """In each epoch four steps of two parts, and four batches of validation."""
    whole, cut = two_cfgs("MODEL.MODEL_NAME", "ToyDropout", *ALL_AT_ONCE)
    loops.train(whole)
    last = len(ToyLinear.seen)
    assert last == 2 * (8 + 4)
    assert train_in_parts(cut, call) == (call <= last)
    assert_same_run(whole, cut, 2)


def test_stopped_again_and_again(two_cfgs):
    whole, cut = two_cfgs("MODEL.MODEL_NAME", "ToyDropout", *ALL_AT_ONCE)
    loops.train(whole)
    assert train_in_parts(cut, 1, 1, 4, 1, 2, 3) > 4
    assert_same_run(whole, cut, 2)


@pytest.mark.parametrize("call", range(1, 13))
def test_stopped_while_statistics_are_made_precise(two_cfgs, call):
    """In each epoch two steps, two batches for the model's statistics and two for its average's."""
    keys = "MODEL.MODEL_NAME ToyNorm BN.USE_PRECISE_STATS True TRAIN.EMA_DECAY 0.7".split()
    whole, cut = two_cfgs(*keys)
    loops.train(whole)
    assert train_in_parts(cut, call) == 1
    assert_same_run(whole, cut, 2)


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_failed_videos_do_not_disturb_it(two_cfgs, call, monkeypatch):
    """Three of eight items fail: an epoch has two steps, whose items are not where they would be."""
    get = Numbers.__getitem__
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1 * 100_003)).tolist()
    failing = {order[0], order[2], order[5]}

    def fails(self, item):
        *found, outcome = get(self, item)
        failed = self.mode == "train" and item in failing
        return (*found, encode_outcome(FAILED, "broken") if failed else outcome)

    monkeypatch.setattr(Numbers, "__getitem__", fails)
    whole, cut = two_cfgs("TRAIN.BATCH_SIZE", "2")
    assert whole.RNG_SEED == 1
    loops.train(whole)
    expected = items_of(train_steps())
    assert expected[:2] == [[order[1], order[3]], [order[4], order[6]]]
    ToyLinear.seen.clear()
    train_in_parts(cut, call)
    assert items_of(train_steps()) == expected
    assert_same_run(whole, cut, 2)


def test_killed_at_any_moment_it_goes_on_from_the_newest_file(two_cfgs, monkeypatch):
    """A checkpoint at every step, in the background; the run dies in the third step of the second epoch."""
    whole, cut = two_cfgs(*ALL_AT_ONCE, "TRAIN.CHECKPOINT_MINUTES", "0.0000001")
    loops.train(whole)
    ToyLinear.seen.clear()
    forward, calls = ToyLinear.forward, iter(range(1, 10_000))

    def dies(self, inputs):
        if next(calls) == 15:
            raise MemoryError("killed")
        return forward(self, inputs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyLinear, "forward", dies)
        with pytest.raises(MemoryError):
            loops.train(cut)
    loops.train(cut)
    assert_same_run(whole, cut, 2)


def test_a_damaged_file_inside_an_epoch_is_skipped(two_cfgs):
    whole, cut = two_cfgs()
    loops.train(whole)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 6)  # in the second epoch's second step
        with pytest.raises(Stopped):
            loops.train(cut)
    path = Path(inside_path(cut.OUTPUT_DIR, Place(1, 1)))
    if not path.exists():
        path = Path(list_inside(cut.OUTPUT_DIR)[0])
    path.write_bytes(path.read_bytes()[:-100])
    loops.train(cut)
    assert "Skipping a damaged checkpoint" in Path(cut.OUTPUT_DIR, "stdout.log").read_text()
    for name in ("model_state", "optimizer_state"):
        assert_same(content(whole, 2)[name], content(cut, 2)[name], name)


def test_places_are_compared_not_names(two_cfgs):
    """After the second epoch an older file inside the second epoch is no reason to repeat it."""
    _, cut = two_cfgs()
    loops.train(cut)
    after_first = content(cut, 1)
    torch.save(after_first, inside_path(cut.OUTPUT_DIR, Place(1, 1)))
    ToyLinear.seen.clear()
    loops.train(cut)
    assert not train_steps()


def test_a_validation_that_was_cut_short_is_done(two_cfgs):
    """Stopped in the last validation of all: the same command does it and nothing else."""
    _, cut = two_cfgs()
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 8)
        with pytest.raises(Stopped):
            loops.train(cut)
    assert len(logged(cut, "val_epoch")) == 1
    ToyLinear.seen.clear()
    loops.train(cut)
    assert not train_steps()
    assert len(logged(cut, "val_epoch")) == 2
    ToyLinear.seen.clear()
    loops.train(cut)
    assert not ToyLinear.seen


@pytest.mark.parametrize("while_it_runs", [False, True])
def test_another_list_begins_the_epoch_anew(toy_cfg, tmp_path, while_it_runs):
    """The list is not the toys', but its content decides the order of a real one, as it was at the start."""
    (tmp_path / "train.csv").write_text("0.mp4 1\n")
    edit = partial((tmp_path / "train.csv").write_text, "1.mp4 1\n")
    cfg = toy_cfg("DATA.PATH_TO_DATA_DIR", str(tmp_path), "TRAIN.BATCH_SIZE", "2")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2)
        if while_it_runs:
            patch.setattr(ToyLinear, "features", lambda self, x: edit() and x)
        with pytest.raises(Stopped):
            loops.train(cfg)
    edit()
    ToyLinear.seen.clear()
    loops.train(cfg)
    assert len(train_steps()) == 8
    log = Path(cfg.OUTPUT_DIR, "stdout.log").read_text()
    assert "Changed since the checkpoint: train.csv. The run goes on with the new list" in log
    assert "Epoch 1 begins anew, with the weights of the checkpoint" in log


def test_changed_keys_and_code_are_named(toy_cfg, monkeypatch):
    from slowfast_ext.engine import changes

    loops.train(toy_cfg("SOLVER.MAX_EPOCH", "1"))
    log = Path(toy_cfg().OUTPUT_DIR, "stdout.log")
    loops.train(toy_cfg("SOLVER.MAX_EPOCH", "1"))
    assert "Changed since" not in log.read_text()
    monkeypatch.setattr(changes, "_code", lambda: "0.9 abc")
    loops.train(toy_cfg("SOLVER.MAX_EPOCH", "2", "SOLVER.BASE_LR", "0.01"))
    (keys, code) = [line for line in log.read_text().splitlines() if "Changed since" in line]
    assert "SOLVER.BASE_LR 0.05 -> 0.01, SOLVER.MAX_EPOCH 1 -> 2. The run goes on" in keys
    folders = " and ".join(str(Path(package.__file__).parent) for package in (vtn, slowfast_ext))
    assert f"0.9 abc here in {folders}). The run goes on" in code


def test_without_auto_resume_nothing_of_the_run_before_is_left(toy_cfg):
    cfg = toy_cfg()
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2)
        with pytest.raises(Stopped):
            loops.train(cfg)
    assert list_inside(cfg.OUTPUT_DIR)
    ToyLinear.seen.clear()
    loops.train(toy_cfg("TRAIN.AUTO_RESUME", "False"))
    assert len(train_steps()) == 4
    assert not list_inside(cfg.OUTPUT_DIR)


def test_every_step_has_random_numbers_of_its_own(toy_cfg):
    """All items alike, so that what differs is what dropout has left."""
    train_cfg = toy_cfg("MODEL.MODEL_NAME", "ToyDropout", "TRAIN.BATCH_SIZE", "2", "SOLVER.MAX_EPOCH", "3")
    loops.train(train_cfg)
    assert len({tuple((step == 0).flatten().tolist()) for step in train_steps()}) >= 8


def test_the_average_of_a_norm_goes_on_too(two_cfgs):
    """Without precise statistics the running ones are part of what is saved inside an epoch."""
    whole, cut = two_cfgs("MODEL.MODEL_NAME", ToyNorm.__name__, "TRAIN.EMA_DECAY", "0.7")
    loops.train(whole)
    assert train_in_parts(cut, 1) == 1
    assert_same_run(whole, cut, 2)
