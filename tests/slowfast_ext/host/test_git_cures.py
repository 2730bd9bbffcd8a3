"""Each cure of PySlowFast main: that it is needed, and what it does. Decoding has a file of its own.

`uncured` runs a file of the checkout once more under another name, so that its functions are as published.
"""

import importlib.util
import json
import pickle
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from disk import assert_on_disk_before_its_name, watch_disk
from test_wheel_cures import Payload
from torch import nn

from slowfast_ext import distributed
from slowfast_ext.data.loader import VideoLoader
from slowfast_ext.host import checkpoint, describe_host, get_host, get_installation
from slowfast_ext.host.cures import applied_cures
from slowfast_ext.models import make_model
from vtn import InputError

host = get_host()
pytestmark = pytest.mark.skipif(host.NAME != "git", reason="SLOWFAST_HOME names no checkout of main")


def uncured(name: str) -> ModuleType:
    """A module of main as published, e.g. "utils.metrics"."""
    path = get_installation().root / "slowfast" / f"{name.replace('.', '/')}.py"
    package = f"slowfast.{name}".rpartition(".")[0]
    spec = importlib.util.spec_from_file_location(f"{package}.uncured_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_cure_has_a_test():
    folder = Path(__file__).parent
    files = ("test_git_cures.py", "test_import_cures.py", "test_git_decoding.py")
    text = "\n".join((folder / name).read_text() for name in files)
    assert len(applied_cures()) > 15
    for cure in applied_cures():
        leaf = cure.name.rsplit(".", 1)[-1].lower()
        named = re.search(rf"def test_{re.escape(leaf)}\b", text) or f'"{cure.name}"' in text
        assert named or leaf == "roialign", cure.name


def test_build_model(demo_cfg, monkeypatch):
    from slowfast import models
    from slowfast.models import build

    cfg = demo_cfg("SlowFast")
    clip = torch.randn(1, 3, 250, 64, 64)
    packed = [clip[:, :, :: cfg.SLOWFAST.ALPHA], clip]
    with torch.no_grad(), pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        build.MODEL_REGISTRY.get("SlowFast")(cfg).eval()(packed)
    assert models.build_model is build.build_model
    with torch.no_grad():
        assert build.build_model(cfg).eval()(packed).shape == (1, cfg.MODEL.NUM_CLASSES)
    cfg.defrost()
    cfg.NUM_GPUS = 2  # as in one of two processes on a CPU
    with pytest.raises(AssertionError, match="Cuda is not available"):
        uncured("models.build").build_model(cfg)
    monkeypatch.setattr("slowfast_ext.host.git_models.device_of", lambda cfg: torch.device("cpu"))
    assert next(build.build_model(cfg).parameters()).device.type == "cpu"


def test_synchronize():
    torch.cuda.synchronize()
    assert torch.cuda.synchronize.__module__ == "slowfast_ext.host.git_cpu"


def test_cuda(monkeypatch):
    """Only a process that must leave the GPUs alone keeps what it has where it is."""
    moved = []
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: moved.append("to a GPU"))
    tensor, layer = torch.zeros(1), nn.Linear(1, 1)
    monkeypatch.setattr(distributed, "_on_cpu", True)
    assert tensor.cuda(non_blocking=True) is tensor
    assert layer.cuda(device=0) is layer
    assert not moved
    monkeypatch.setattr(distributed, "_on_cpu", False)
    for thing in (tensor, layer):
        with pytest.raises((RuntimeError, AssertionError)):
            thing.cuda()
    assert moved


def test_launch_job(demo_cfg):
    from slowfast.utils import misc

    cfg = demo_cfg("VTN")
    seen = []
    misc.launch_job(cfg=cfg, init_method="tcp://localhost:9999", func=seen.append)  # as main's tools call it
    assert seen == [cfg]


def test_topks_correct():
    scores, labels = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), torch.tensor([1, 2])
    with pytest.raises(RuntimeError, match="out of range"):
        uncured("utils.metrics").topks_correct(scores, labels, (1, 5))
    from slowfast.utils import metrics

    # By hand: the first is best, the second last of three.
    assert [c.item() for c in metrics.topks_correct(scores, labels, (1, 2))] == [1, 1]
    assert [c.item() for c in metrics.topks_correct(scores, labels, (1, 5))] == [1, 2]


def test_construct_loader(tiny_cfg):
    from slowfast.datasets import loader

    ours = loader.construct_loader(tiny_cfg(), "train")
    assert type(ours) is VideoLoader
    loader.shuffle_dataset(ours, 3)
    assert (ours.sampler.epoch, ours.dataset.epoch) == (3, 3)
    one = torch.rand(1)
    loader.shuffle_dataset(ours, 3)
    assert torch.equal(torch.rand(1), one)  # an epoch's random numbers follow from its number
    other = [*"MODEL.MODEL_NAME ResNet MODEL.ARCH i3d TRAIN.DATASET kinetics".split()]
    theirs = loader.construct_loader(tiny_cfg(*other, "TRAIN.EVAL_FULL_VIDEO", "False"), "train")
    assert type(theirs) is torch.utils.data.DataLoader
    loader.shuffle_dataset(theirs, 3)


def test_kinetics(tiny_cfg, tmp_path):
    """A test video that cannot be read. Multi-view tests try the same file again and again."""
    from slowfast.datasets.kinetics import Kinetics

    (tmp_path / "bad.mp4").write_text("not a video")
    (tmp_path / "test.csv").write_text(f"{tmp_path}/bad.mp4 0\n")
    cfg = tiny_cfg(*"MODEL.MODEL_NAME ResNet MODEL.ARCH i3d TRAIN.EVAL_FULL_VIDEO False".split())
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATA.PATH_TO_DATA_DIR = str(tmp_path)
    dataset = Kinetics(cfg, "test", num_retries=9)
    with pytest.raises(InputError, match=r"bad\.mp4 cannot be read"):
        dataset[0]
    assert Kinetics.__getitem__.__wrapped__(dataset, 0) is None


def test_testmeter():
    """Three videos of two clips: one right, one of class 0 without scores, one with a repeated clip."""
    from slowfast.utils import meters

    right, wrong = torch.tensor([0.1, 0.9, 0.0]), torch.tensor([0.9, 0.1, 0.0])
    clips = [(0, right, 1), (1, right, 1), (4, wrong, 1), (5, right, 1), (4, wrong, 1)]
    found = {}
    for name, module in (("as published", uncured("utils.meters")), ("cured", meters)):
        meter = module.TestMeter(3, 2, 3, 1)
        for clip, scores, label in clips:
            meter.update_stats(scores[None], torch.tensor([label]), torch.tensor([clip]))
        found[name] = meter
    published, cured = found["as published"], found["cured"]
    assert published.video_preds[2].tolist() == pytest.approx([1.9, 1.1, 0.0])  # a clip counts double
    assert cured.video_preds[2].tolist() == pytest.approx([1.0, 1.0, 0.0])
    assert cured.clip_count.tolist() == [2, 0, 2]
    published.finalize_metrics(ks=(1, 3))
    assert published.stats["top1_acc"] == "66.67"  # the video without scores is "right"
    cured.video_preds[2] = torch.tensor([0.8, 1.2, 0.0])
    cured.finalize_metrics()
    assert (cured.stats["num_videos"], cured.stats["num_failed"], cured.stats["top1_acc"]) == (2, 1, "100.00")
    assert cured.stats["top1_acc_if_failed_wrong"] == "66.67"


def test_trainmeter(demo_cfg, monkeypatch, caplog):
    """The first of 32 epochs, of one iteration that takes 20 s; test_meters.py has the rest."""
    from slowfast.utils import meters

    from slowfast_ext.host import meters as ours

    now = [0.0]
    monkeypatch.setattr("fvcore.common.timer.perf_counter", lambda: now[0])
    monkeypatch.setattr(ours, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    caplog.set_level("INFO")
    found = []
    for module in (uncured("utils.meters"), meters):
        meter = module.TrainMeter(1, demo_cfg("VTN", "SOLVER.MAX_EPOCH", "32"))
        meter.iter_tic()
        now[0] += 20
        meter.update_stats(50.0, 0.0, 1.0, 0.1, 1.0, 4)
        meter.iter_tic()  # as the loop does, also after the last iteration
        caplog.clear()
        meter.log_epoch_stats(0)
        found.append(json.loads(caplog.text.split("json_stats: ")[1]))
    published, cured = found
    assert (published["dt"], published["eta"]) == (0, "0:00:00")
    assert (cured["epoch_seconds"], cured["eta"]) == (20, "0:10:20")


def test_get_model_stats(demo_cfg):
    from slowfast.utils import misc

    cfg = demo_cfg("VTN", "DATA.NUM_FRAMES", "16", "TRAIN.EVAL_NUM_FRAMES", "40")
    published = uncured("utils.misc")
    assert published._get_model_analysis_input(cfg, use_train_input=False)[0][0].shape[2] == 16
    assert misc._get_model_analysis_input(cfg, use_train_input=False)[0][0].shape[2] == 40
    assert misc._get_model_analysis_input(cfg, use_train_input=True)[0][0].shape[2] == 16

    class Watch(nn.Linear):
        """Notes whether gradients are kept while it is counted."""

        kept: bool

        def forward(self, inputs):
            Watch.kept = torch.is_grad_enabled()
            return super().forward(inputs[0].mean(dim=(2, 3, 4)))

    published.get_model_stats(Watch(3, 2), cfg, "flop", True)
    assert Watch.kept
    assert misc.get_model_stats(Watch(3, 2), cfg, "flop", True) == pytest.approx(6e-9)
    assert not Watch.kept


LINE = ["run_net.py", "--cfg", "a.yaml", "NUM_GPUS", "0"]


def test_parse_args(monkeypatch):
    from slowfast.utils import parser

    monkeypatch.setattr(sys, "argv", LINE)
    swallowed = uncured("utils.parser").parse_args()
    assert (swallowed.cfg_files, swallowed.opts) == (["a.yaml", "NUM_GPUS", "0"], None)
    args = parser.parse_args()
    assert (args.cfg_files, args.opts, args.shard_id) == (["a.yaml"], ["NUM_GPUS", "0"], 0)
    monkeypatch.setattr(sys, "argv", [*LINE[:3], "--opts", *LINE[3:]])
    assert parser.parse_args().opts == ["NUM_GPUS", "0"]


def test_load_config(monkeypatch, tiny_config, tmp_path):
    from slowfast.utils import parser

    overrides = ["OUTPUT_DIR", str(tmp_path), "TRAIN.DATASET", "kinetics"]
    monkeypatch.setattr(sys, "argv", ["run_net.py", "--cfg", str(tiny_config), *overrides])
    args = parser.parse_args()
    published = uncured("utils.parser").load_config(args, str(tiny_config))
    assert published.DATA.MEAN == [0.45, 0.45, 0.45]
    cfg = parser.load_config(args, str(tiny_config))
    assert cfg.DATA.MEAN == [0.5, 0.5, 0.5]  # what test_vit was trained with
    assert cfg.TRAIN.DATASET == "vtnkinetics"
    args.opts += ["DATA.MEAN", "[0.1,0.2,0.3]", "VTN.NUM_ATTENTION_HEADS", "5"]
    with pytest.raises(InputError, match="VTN.NUM_ATTENTION_HEADS is 5"):
        parser.load_config(args, str(tiny_config))
    args.opts = args.opts[:-2]
    assert parser.load_config(args, str(tiny_config)).DATA.MEAN == [0.1, 0.2, 0.3]


def test_setup_logging(tmp_path):
    from slowfast.utils import logging

    for _ in range(2):  # train and test
        logging.setup_logging(str(tmp_path))
    log = (tmp_path / "stdout.log").read_text()
    assert log.count(describe_host()) == 1
    # A checkout that was downloaded as a ZIP file does not tell its commit.
    with_git = (get_installation().root / ".git").exists()
    commit = f"commit {get_installation().version[:7]}" if with_git else "of an unknown commit"
    assert f"PySlowFast main, {commit}, in {get_installation().root}" in log
    assert (get_installation().version != "") == with_git


def test_check_nan_losses():
    from slowfast.utils import misc

    # PyTorch warns once in a process: when the cure looked whether it does.
    assert "slowfast.utils.misc.check_nan_losses" in {cure.name for cure in applied_cures()}
    misc.check_nan_losses(torch.ones((), requires_grad=True))
    with pytest.raises(RuntimeError, match="Got NaN losses"):
        misc.check_nan_losses(torch.tensor(float("nan"), requires_grad=True))


def test_autocast():
    """As train_net.py uses them. That PyTorch's own warn is why the cure was applied."""
    assert "torch.cuda.amp.autocast" in {cure.name for cure in applied_cures()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch.cuda.amp.autocast(enabled=False):
            scaler = torch.cuda.amp.GradScaler(enabled=False)
    assert (type(scaler), scaler.is_enabled()) == (torch.amp.GradScaler, False)


def test__multi_tensor(demo_cfg):
    from slowfast.models import optimizer

    cfg = demo_cfg("VTN", "SOLVER.OPTIMIZING_METHOD", "mt_adamw")
    found = optimizer.construct_optimizer(nn.Linear(2, 2), cfg)
    assert (type(found), found.defaults["foreach"]) == (torch.optim.AdamW, True)


def test_naivesyncbatchnorm3d(demo_cfg):
    from pytorchvideo.layers.batch_norm import NaiveSyncBatchNorm3d
    from slowfast.models import batchnorm_helper

    with pytest.raises(TypeError, match="num_sync_devices"):
        NaiveSyncBatchNorm3d(num_features=4, num_sync_devices=1, global_sync=True)
    cfg = demo_cfg("I3D", "BN.NORM_TYPE", "sync_batchnorm", "BN.NUM_SYNC_DEVICES", "2")
    layer, plain = batchnorm_helper.get_norm(cfg)(num_features=4, eps=1e-3), nn.BatchNorm3d(4, eps=1e-3)
    assert layer.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(2, 4, 3, 5, 5)
    torch.testing.assert_close(layer(x), plain(x))  # in one process it is the plain one
    torch.testing.assert_close(layer.running_var, plain.running_var)


def test_load_checkpoint(demo_cfg, tmp_path):
    from slowfast.utils import checkpoint as cu

    trap = tmp_path / "trap.pkl"
    trap.write_bytes(pickle.dumps({"blobs": {"w": Payload(tmp_path / "ran")}}))
    cfg = demo_cfg("I3D")
    model = make_model(cfg)
    with pytest.raises(InputError, match=r"trap\.pkl: not a Caffe2 checkpoint.*could run code"):
        cu.load_checkpoint(str(trap), model, False, convert_from_caffe2=True)
    assert not (tmp_path / "ran").exists()
    uncured("utils.checkpoint").load_checkpoint(str(trap), model, False, convert_from_caffe2=True)
    assert (tmp_path / "ran").exists()  # main's own runs the code
    with pytest.raises(InputError, match=r"none\.pyth: no such file"):
        cu.load_checkpoint(str(tmp_path / "none.pyth"), model, False)


@pytest.mark.parametrize("name", ["Kinetics/X3D_XS", "Kinetics/MVITv2_S_16x4"])
def test_load_checkpoint_refuses_to_test_half_a_model(name, tmp_path):
    from slowfast.utils import checkpoint as cu

    from slowfast_ext.config import load_config

    small = "NUM_GPUS 0 DATA.NUM_FRAMES 4 DATA.TRAIN_CROP_SIZE 64 DATA.TEST_CROP_SIZE 64".split()
    path = get_installation().root / "configs" / f"{name}.yaml"
    model = make_model(load_config(path, [*small, "OUTPUT_DIR", str(tmp_path)]))
    state = model.state_dict()
    torch.save({"model_state": state, "epoch": 7}, tmp_path / "whole.pyth")
    assert cu.load_checkpoint(str(tmp_path / "whole.pyth"), model, False) == 7
    gone = next(key for key in state if key.startswith("head.") and key.endswith("weight"))
    del state[gone]
    torch.save({"model_state": state, "epoch": 7}, tmp_path / "half.pyth")
    with pytest.raises(InputError, match=rf"half\.pyth.*{re.escape(gone)}"):
        cu.load_checkpoint(str(tmp_path / "half.pyth"), model, False)


def test_load_checkpoint_of_an_optimizer_without_mains_entries(demo_cfg, tmp_path):
    from slowfast.models import optimizer as optim
    from slowfast.utils import checkpoint as cu

    cfg = demo_cfg("VTN")
    model = make_model(cfg)
    theirs = optim.construct_optimizer(model, cfg)
    state = theirs.state_dict()
    for group in state["param_groups"]:  # as the other PySlowFast writes them
        del group["layer_decay"], group["apply_LARS"]
    torch.save(
        {"model_state": model.state_dict(), "optimizer_state": state, "epoch": 3}, tmp_path / "wheel.pyth"
    )
    assert cu.load_checkpoint(str(tmp_path / "wheel.pyth"), model, False, theirs) == 3
    optim.set_lr(theirs, 0.25)
    assert {group["lr"] for group in theirs.param_groups} == {0.25}


@pytest.mark.parametrize("name", ["VTN", "I3D"])  # written by us, and by main
def test_save_checkpoint(name, demo_cfg, tmp_path, monkeypatch):
    """A write that fails half way leaves the file of before, and nothing that looks like a checkpoint."""
    from slowfast.utils import checkpoint as cu

    cfg, job = demo_cfg(name), str(tmp_path / "run")
    model = make_model(cfg)
    optimizer = host.construct_optimizer(model, cfg)
    path = cu.save_checkpoint(job, model, optimizer, 0, cfg)
    assert path == checkpoint.checkpoint_path(job, 1)
    before = Path(path).read_bytes()

    def fails(state, file):
        file.write(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", fails)
    for epoch in (0, 1):
        with pytest.raises(OSError, match="no space left"):
            cu.save_checkpoint(job, model, optimizer, epoch, cfg)
    assert Path(path).read_bytes() == before
    assert cu.get_last_checkpoint(job, "") == path
    with pytest.raises(OSError, match="no space left"):
        uncured("utils.checkpoint").save_checkpoint(job, model, optimizer, 0, cfg)
    assert Path(path).read_bytes() == b"half"


@pytest.mark.parametrize("name", ["VTN", "I3D"])  # written by us, and by main
def test_save_checkpoint_is_on_disk_before_it_has_its_name(name, demo_cfg, tmp_path, monkeypatch):
    from slowfast.utils import checkpoint as cu

    cfg = demo_cfg(name)
    model = make_model(cfg)
    optimizer = host.construct_optimizer(model, cfg)
    done = watch_disk(monkeypatch)
    path = cu.save_checkpoint(str(tmp_path / "run"), model, optimizer, 0, cfg)
    assert_on_disk_before_its_name(path, done)


def test_get_last_checkpoint(demo_cfg, tmp_path):
    from slowfast.utils import checkpoint as cu

    cfg, job = demo_cfg("VTN"), str(tmp_path / "run")
    model = make_model(cfg)
    for epoch in (0, 1):
        cu.save_checkpoint(job, model, host.construct_optimizer(model, cfg), epoch, cfg)
    last = Path(checkpoint.checkpoint_path(job, 2))
    last.write_bytes(last.read_bytes()[:1000])
    assert uncured("utils.checkpoint").get_last_checkpoint(job, "") == str(last)
    assert cu.get_last_checkpoint(job, "") == checkpoint.checkpoint_path(job, 1)
    assert cu.get_last_checkpoint(str(tmp_path / "nothing"), "") is None
