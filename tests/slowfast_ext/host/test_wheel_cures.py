"""Each cure of PySlowFast 1.0: what it mends, and that it is needed where that can be shown."""

import importlib
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from slowfast_ext.host import get_host
from slowfast_ext.host.cures import applied_cures, apply_cures
from slowfast_ext.models import VTN, make_model
from vtn import InputError

host = get_host()
pytestmark = pytest.mark.skipif(host.NAME != "wheel", reason="cures of the wheel")


def original(code: str) -> str:
    """Run code against PySlowFast as it was published; return its last line of output."""
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    return (result.stderr if result.returncode else result.stdout).strip().splitlines()[-1]


def test_every_cure_has_a_test_here():
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert applied_cures()
    for cure in applied_cures():
        assert cure.name.rsplit(".", 1)[-1].lower() in tested, cure.name


def test_cures_are_applied_once():
    before = {cure.name: _attribute(cure.name) for cure in applied_cures()}
    apply_cures(applied_cures())
    assert {cure.name: _attribute(cure.name) for cure in applied_cures()} == before


def _attribute(name: str):
    module, attribute = name.rsplit(".", 1)
    return getattr(importlib.import_module(module), attribute)


def test_roialign():
    last = original("import slowfast.models.video_model_builder")
    assert "No module named 'detectron2'" in last
    from slowfast.models.head_helper import ROIAlign

    with pytest.raises(InputError, match="DETECTION.ENABLE True .* need detectron2"):
        ROIAlign(7)


def test_topks_correct():
    last = original("""
        import torch
        from slowfast.utils.metrics import topks_correct
        topks_correct(torch.rand(4, 9), torch.zeros(4).long(), (1, 5))
    """)
    assert last.startswith("RuntimeError: view size is not compatible")
    from slowfast.utils import metrics

    scores = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
    labels = torch.tensor([1, 1, 0])
    # By hand: the first is best, the second is second best, the third is last.
    assert [c.item() for c in metrics.topks_correct(scores, labels, (1, 2))] == [1, 2]
    assert [c.item() for c in metrics.topks_correct(scores, labels, (1, 5))] == [1, 3]
    assert [e.item() for e in metrics.topk_errors(scores, labels, (2,))] == pytest.approx([100 / 3])


def test_random_crop():
    last = original("""
        import torch
        from slowfast.datasets.transform import random_crop
        frames, boxes = random_crop(torch.rand(2, 3, 8, 8), 8)
        print(frames.shape)
    """)
    assert last == "torch.Size([3, 8, 8])"  # it unpacked the batch instead
    from slowfast.datasets import transform

    frames = torch.rand(2, 3, 8, 8)
    cropped, boxes = transform.random_crop(frames, 8)
    assert boxes is None
    assert torch.equal(cropped, frames)
    assert transform.random_crop(frames, 4)[0].shape == (2, 3, 4, 4)


def test_build_model(demo_cfg):
    from slowfast.models import model_builder

    model = model_builder.build_model(demo_cfg("I3D"))
    assert next(model.parameters()).device.type == "cpu"
    assert type(model).__name__ == "ResNet"


def test_construct_optimizer(demo_cfg):
    from slowfast.models import optimizer

    model = nn.Sequential()
    # `downsample` is where a torchvision ResNet hides a batch norm whose name has no "bn" in it.
    model.downsample = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model.frozen = nn.Linear(2, 2).requires_grad_(False)
    model.head = nn.Linear(4, 2)
    cfg = demo_cfg("VTN", "BN.WEIGHT_DECAY", "0.0", "SOLVER.WEIGHT_DECAY", "0.1")
    groups = {
        group["weight_decay"]: group["params"]
        for group in optimizer.construct_optimizer(model, cfg).param_groups
    }
    assert groups.keys() == {0.0, 0.1}
    assert {id(p) for p in groups[0.0]} == {id(p) for p in model.downsample[1].parameters()}
    assert len(groups[0.1]) == 4  # convolution and head, weight and bias each
    cfg = demo_cfg("VTN", "SOLVER.OPTIMIZING_METHOD", "adamw", "SOLVER.ZERO_WD_1D_PARAM", "True")
    adamw = optimizer.construct_optimizer(model, cfg)
    assert type(adamw) is torch.optim.AdamW
    assert [len(group["params"]) for group in adamw.param_groups if group["weight_decay"]] == [2]


def test_frozen_backbone_is_not_optimised(demo_cfg):
    from slowfast.models import optimizer

    model = VTN(demo_cfg("VTN", "VTN.FREEZE_BACKBONE", "True"))
    groups = optimizer.construct_optimizer(model, demo_cfg("VTN")).param_groups
    optimised = {id(p) for group in groups for p in group["params"]}
    assert not optimised & {id(p) for p in model.backbone.parameters()}
    assert {id(p) for p in model.mlp_head.parameters()} < optimised


def test_lr_func_cosine(demo_cfg):
    from slowfast.models import optimizer

    cfg = demo_cfg(
        "VTN",
        *("SOLVER.BASE_LR 1.0 SOLVER.COSINE_END_LR 0.1 SOLVER.MAX_EPOCH 10 SOLVER.LR_POLICY cosine").split(),
        *("SOLVER.WARMUP_EPOCHS 0").split(),
    )
    # By hand: the cosine is 1, 0 and -1 at the start, in the middle and at the end.
    assert [optimizer.get_epoch_lr(e, cfg) for e in (0, 5, 10)] == pytest.approx([1.0, 0.55, 0.1])
    cfg = demo_cfg(
        "VTN",
        *("SOLVER.BASE_LR 1.0 SOLVER.MAX_EPOCH 12 SOLVER.WARMUP_EPOCHS 2 SOLVER.WARMUP_START_LR 0.0").split(),
        *("SOLVER.COSINE_AFTER_WARMUP True SOLVER.COSINE_END_LR 0.0 SOLVER.LR_POLICY cosine").split(),
    )
    assert [optimizer.get_epoch_lr(e, cfg) for e in (0, 1, 2, 7)] == pytest.approx([0.0, 0.5, 1.0, 0.5])


class Numbers(torch.utils.data.Dataset):
    """Items are their own index; `num_views` in a row belong to one video."""

    def __init__(self, cfg, split: str, length: int = 12, num_views: int = 3) -> None:
        self.num_views, self.length, self.epoch = num_views, length, None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[list, int, int, dict]:
        return [torch.zeros(1)], 0, index, {}

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch


def items(loader) -> list[int]:
    return torch.cat([batch[2] for batch in loader]).tolist()


def test_construct_loader(demo_cfg, monkeypatch, tmp_path):
    from slowfast.datasets import build, loader

    monkeypatch.setattr(build, "build_dataset", lambda name, cfg, split: Numbers(cfg, split))
    cfg = demo_cfg(
        "VTN", *"NUM_GPUS 0 TRAIN.BATCH_SIZE 5 TEST.BATCH_SIZE 5 DATA_LOADER.NUM_WORKERS 0".split()
    )
    cfg.defrost()
    cfg.OUTPUT_DIR = str(tmp_path)
    train, test = loader.construct_loader(cfg, "train"), loader.construct_loader(cfg, "test")
    assert items(test) == list(range(12))
    loader.shuffle_dataset(train, 3)
    assert train.dataset.epoch == 3
    first, again = items(train), items(train)
    assert first == again
    assert len(set(first)) == 10  # two whole batches, nothing twice
    loader.shuffle_dataset(train, 4)
    assert items(train) != first


def test_construct_loader_names_a_batch_that_is_too_large(demo_cfg, monkeypatch):
    from slowfast.datasets import build, loader

    monkeypatch.setattr(build, "build_dataset", lambda name, cfg, split: Numbers(cfg, split))
    with pytest.raises(InputError, match="TRAIN.BATCH_SIZE is 13 but the training list has only 12 videos"):
        loader.construct_loader(demo_cfg("VTN", "TRAIN.BATCH_SIZE", "13"), "train")


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_sampler_deals_every_video_to_one_process(world):
    from slowfast_ext.data.loader import VideoSampler

    dataset = Numbers(None, "test")
    shares = []
    for rank in range(world):
        sampler = VideoSampler(dataset, shuffle=False, seed=0)
        sampler.world, sampler.rank = world, rank
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1])
        assert {item // 3 for item in shares[-1]} == set(range(rank, 4, world))
    assert sorted(item for share in shares for item in share) == list(range(12))


def test_sampler_gives_all_processes_together_the_same_batches():
    from slowfast_ext.data.loader import VideoSampler

    batches = {}
    for world in (1, 2, 4):
        orders = []
        for rank in range(world):
            sampler = VideoSampler(Numbers(None, "train"), shuffle=True, seed=7)
            sampler.world, sampler.rank = world, rank
            orders.append(list(sampler))
            assert len(sampler) == len(orders[-1])
        size = 4 // world
        batches[world] = [
            {item for order in orders for item in order[i * size : (i + 1) * size]} for i in range(3)
        ]
    assert batches[1] == batches[2] == batches[4]
    assert sum(len(batch) for batch in batches[1]) == 12


def test_run_and_init_process_group(tmp_path):
    # A subprocess, because a process group is global; it would stop at torch.cuda.set_device unpatched.
    last = original(f"""
        from slowfast_ext.config import get_cfg
        get_cfg()
        from slowfast.utils import distributed as du, multiprocessing as mpu
        import torch

        def body(cfg):
            print("rank", du.get_rank(), "of", du.get_world_size(), torch.distributed.get_backend())

        class Cfg:
            NUM_GPUS = 0

        mpu.run(0, 1, body, "file://{tmp_path}/meet", 0, 1, "nccl", Cfg)
        du.init_process_group(0, 1, 0, 1, "file://{tmp_path}/again", "gloo")
        print("joined again:", du.get_world_size())
    """)
    assert last == "joined again: 1"


test_run = test_init_process_group = test_run_and_init_process_group


def test_compute_and_update_bn_stats():
    from slowfast.utils import bn_helper

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bn = nn.BatchNorm3d(1)

        def forward(self, inputs):
            return self.bn(inputs[0])

    model = Model().train()
    batches = [([torch.full((2, 1, 1, 1, 1), float(value))], 0, 0, {}) for value in (1, 5)]
    bn_helper.compute_and_update_bn_stats(model, batches, 2)
    assert model.bn.running_mean.item() == pytest.approx(3.0)  # the mean of 1 and 5


class Payload:
    """Pickles into a call that would create a file."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_load_checkpoint(demo_cfg, tmp_path):
    """A Caffe2 file: read when it holds arrays, refused before anything runs when it holds code."""
    import pickle

    from slowfast.utils import checkpoint

    model = make_model(demo_cfg("I3D"))
    trap = tmp_path / "trap.pkl"
    trap.write_bytes(pickle.dumps({"blobs": {"w": Payload(tmp_path / "ran")}}))
    with pytest.raises(InputError, match=r"trap\.pkl: not a Caffe2 checkpoint.*could run code"):
        checkpoint.load_checkpoint(str(trap), model, False, convert_from_caffe2=True)
    assert not (tmp_path / "ran").exists()

    blobs = {_caffe2_name(name): tensor.numpy() + 1 for name, tensor in model.state_dict().items()}
    blobs = {name: blob for name, blob in blobs.items() if name}
    blobs |= {"conv1_w_momentum": np.zeros(3, "float32"), "lr": np.float32(0.1), "model_iter": np.int64(7)}
    path = tmp_path / "zoo.pkl"
    path.write_bytes(pickle.dumps({"blobs": blobs}, protocol=2))
    expected = {name: tensor + 1 for name, tensor in model.state_dict().items() if "num_batches" not in name}
    assert checkpoint.load_checkpoint(str(path), model, False, convert_from_caffe2=True) == -1
    for name, tensor in expected.items():
        assert torch.equal(model.state_dict()[name], tensor), name


def _caffe2_name(name: str) -> str:
    """The Caffe2 name of an I3D weight, written from the model zoo's naming."""
    if name.endswith("num_batches_tracked"):
        return ""
    endings = {"bn.weight": "bn_s", "bn.bias": "bn_b", "bn.running_mean": "bn_rm", "bn.running_var": "bn_riv"}
    stage, _, rest = name.partition(".")
    if stage == "head":
        return rest.replace("projection.weight", "pred_w").replace("projection.bias", "pred_b")
    for ours, theirs in endings.items():
        rest = rest.replace(ours, theirs)
    rest = rest.replace(".weight", "_w").replace(".bias", "_b")
    if stage == "s1":
        conv = rest.replace("pathway0_stem.", "")
        return "conv1_w" if conv == "conv_w" else conv.replace("bn_", "res_conv1_bn_")
    block, _, branch = rest.removeprefix("pathway0_res").partition(".")
    branch = branch.replace("branch2.", "branch2").replace("branch1.", "branch1").replace(".", "_")
    return f"res{stage[1:]}_{block}_{branch}"
