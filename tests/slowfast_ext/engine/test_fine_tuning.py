"""Training from another model's checkpoint: what is taken, what the log says, what is refused."""

import re

import pytest
import timm
import torch

from slowfast_ext.engine import start
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.models import make_model
from slowfast_ext.plugin import loops
from vtn import InputError

host = get_host()

I3D = (
    *"MODEL.MODEL_NAME ResNet MODEL.ARCH i3d TRAIN.EVAL_FULL_VIDEO False".split(),
    *"RESNET.WIDTH_PER_GROUP 8 BN.USE_PRECISE_STATS False".split(),
)
VTN_AND_I3D = pytest.mark.parametrize(
    ("kind", "head"), [((), "mlp_head.4"), (I3D, "head.projection")], ids=["VTN", "I3D"]
)


def weights(path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["model_state"]


@pytest.fixture
def few_classes(data_dir, tmp_path):
    """The videos of data_dir, listed with three classes instead of five; the keys that say so."""
    for split in ("train", "val", "test"):
        rows = [f"{data_dir}/{number}.mp4 {number % 3}" for number in range(7)]
        (tmp_path / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return ("DATA.PATH_TO_DATA_DIR", str(tmp_path), "MODEL.NUM_CLASSES", "3")


@pytest.fixture
def pretrained(tiny_cfg, tmp_path):
    """Train a model of five classes for one epoch; returns the path of its checkpoint."""

    def train(*overrides: str) -> str:
        out = str(tmp_path / "pretrained")
        loops.train(tiny_cfg("SOLVER.MAX_EPOCH", "1", *overrides, "OUTPUT_DIR", out))
        return checkpoint.checkpoint_path(out, 1)

    return train


def started(cfg) -> torch.nn.Module:
    """The model as training begins."""
    source = start.find_training_source(cfg)
    model = start.make_model_of(cfg, source)
    assert source.load(model, host.construct_optimizer(model, cfg)) == -1
    return model


@VTN_AND_I3D
def test_all_but_the_head_is_taken(kind, head, pretrained, tiny_cfg, few_classes):
    path = pretrained(*kind)
    take = ("TRAIN.CHECKPOINT_FILE_PATH", path, "TRAIN.CHECKPOINT_PARTIAL", "True")
    theirs, ours = weights(path), started(tiny_cfg(*kind, *few_classes, *take)).state_dict()
    assert ours.keys() == theirs.keys()
    differ = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert differ == [f"{head}.weight", f"{head}.bias"]
    assert [ours[name].shape[0] for name in differ] == [3, 3]


@VTN_AND_I3D
def test_fine_tuning_by_command(kind, head, run_net, pretrained, few_classes, tmp_path):
    """With a learning rate of 0 the end shows the beginning. The log says what is new."""
    path = pretrained(*kind)
    out = tmp_path / "out"
    take = ("TRAIN.CHECKPOINT_FILE_PATH", path, "TRAIN.CHECKPOINT_PARTIAL", "True")
    result = run_net(out, *kind, *few_classes, *take, "SOLVER.BASE_LR", "0", "SOLVER.MAX_EPOCH", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    before, after = weights(path), weights(checkpoint.checkpoint_path(str(out), 1))
    differ = [name for name in after if not torch.equal(after[name], before[name])]
    statistics = ("running_mean", "running_var", "num_batches_tracked")  # of batch norms, no learning rate
    assert [n for n in differ if not n.endswith(statistics)] == [f"{head}.weight", f"{head}.bias"]
    log = (out / "stdout.log").read_text()
    number, width = len(before), before[f"{head}.weight"].shape[1]
    assert (
        f"Checkpoint {path}: {number - 2} of {number} weights loaded, the other 2 keep their initial values; "
        f"of another shape: {head}.weight (5, {width}) there and (3, {width}) here, "
        f"{head}.bias (5,) there and (3,) here\n"
    ) in log
    assert "TRAIN.CHECKPOINT_PARTIAL: its weights only, so epoch and optimizer start anew" in log
    assert "Start epoch: 1\n" in log
    assert '"split": "test_final"' in log  # the test after it takes all of the new checkpoint


def test_interrupted_fine_tuning_continues(pretrained, tiny_cfg, few_classes, tmp_path):
    path = pretrained()
    take = (*few_classes, "TRAIN.CHECKPOINT_FILE_PATH", path, "TRAIN.CHECKPOINT_PARTIAL", "True")
    whole, cut = str(tmp_path / "whole"), str(tmp_path / "cut")
    loops.train(tiny_cfg(*take, "OUTPUT_DIR", whole))
    for epochs in ("1", "2"):
        loops.train(tiny_cfg(*take, "OUTPUT_DIR", cut, "SOLVER.MAX_EPOCH", epochs))
    log = (tmp_path / "cut" / "stdout.log").read_text()
    assert re.findall(r"Start epoch: \d", log) == ["Start epoch: 1", "Start epoch: 2"]
    assert len(re.findall(r"weights loaded, the other 2 keep", log)) == 1
    assert f"Load from last checkpoint, {checkpoint.checkpoint_path(cut, 1)}" in log
    expected = weights(checkpoint.checkpoint_path(whole, 2))
    for name, tensor in weights(checkpoint.checkpoint_path(cut, 2)).items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.slow
def test_two_processes_fine_tune_as_one(run_net, pretrained, few_classes, tmp_path):
    path = pretrained()
    take = (*few_classes, "TRAIN.CHECKPOINT_FILE_PATH", path, "TRAIN.CHECKPOINT_PARTIAL", "True")
    dropout = "VTN.ATTENTION_PROBS_DROPOUT_PROB 0 VTN.HIDDEN_DROPOUT_PROB 0 MODEL.DROPOUT_RATE 0".split()
    for processes in ("1", "2"):
        result = run_net(tmp_path / processes, *take, *dropout, "VTN.CPU_PROCESSES", processes)
        assert result.returncode == 0, result.stdout + result.stderr
        assert result.stdout.count("weights loaded, the other 2 keep") == 1
    one, two = (weights(checkpoint.checkpoint_path(str(tmp_path / n), 2)) for n in ("1", "2"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, atol=2e-5, rtol=1e-4, msg=name)


@VTN_AND_I3D
def test_without_the_key_other_classes_are_refused(kind, head, pretrained, tiny_cfg, few_classes):
    cfg = tiny_cfg(*kind, *few_classes, "TRAIN.CHECKPOINT_FILE_PATH", pretrained(*kind))
    message = (
        r"00001\.pyth is of another model, which differs in classes \(5 there, 3 here\); of another shape: "
        rf"{re.escape(head)}\.weight \(5, \d+\) there and \(3, \d+\) here, "
        r".* TRAIN\.CHECKPOINT_PARTIAL True\."
    )
    with pytest.raises(InputError, match=message):
        loops.train(cfg)


@pytest.mark.parametrize("key", ["TEST.CHECKPOINT_FILE_PATH", "TRAIN.CHECKPOINT_FILE_PATH"])
def test_a_test_takes_all_or_nothing(key, pretrained, tiny_cfg, few_classes):
    cfg = tiny_cfg(*few_classes, key, pretrained(), "TRAIN.CHECKPOINT_PARTIAL", "True")
    with pytest.raises(InputError, match=r"classes \(5 there, 3 here\); .*; a test needs every weight: use"):
        loops.test(cfg)


def test_another_runs_folder_is_not_taken_in_part(pretrained, tiny_cfg, few_classes):
    folder = pretrained().split("/checkpoints/")[0]
    cfg = tiny_cfg(*few_classes, "OUTPUT_DIR", folder, "TRAIN.CHECKPOINT_PARTIAL", "True")
    with pytest.raises(
        InputError, match=r"classes \(5 there, 3 here\); .*; it lies in OUTPUT_DIR, .*AUTO_RES"
    ):
        loops.train(cfg)


@pytest.fixture
def no_network(monkeypatch):
    """timm cannot fetch anything."""
    create_model = timm.create_model

    def create(name, pretrained=False, **options):
        if pretrained:
            raise OSError("no network")
        return create_model(name, **options)

    monkeypatch.setattr(timm, "create_model", create)


def test_published_weights_are_fetched_only_where_no_checkpoint_has_them(
    pretrained, tiny_cfg, no_network, tmp_path
):
    path = pretrained()
    state = weights(path)
    del state["backbone.pos_embed"]
    torch.save(state, tmp_path / "gap.pyth")
    fetch, test_only = ("VTN.PRETRAINED", "True"), ("TRAIN.ENABLE", "False")
    given, gap = (
        ("TRAIN.CHECKPOINT_FILE_PATH", path),
        ("TRAIN.CHECKPOINT_FILE_PATH", str(tmp_path / "gap.pyth")),
    )
    partial, same_folder = ("TRAIN.CHECKPOINT_PARTIAL", "True"), ("OUTPUT_DIR", str(tmp_path / "pretrained"))
    for overrides in (given, (*given, *partial), same_folder):
        cfg = tiny_cfg(*fetch, *overrides)
        start.make_model_of(cfg, start.find_training_source(cfg))
    for overrides in (("TEST.CHECKPOINT_FILE_PATH", path), given, same_folder):
        loops.test(tiny_cfg(*fetch, *test_only, *overrides))
    for overrides in ((), (*gap, *partial)):
        cfg = tiny_cfg(*fetch, *overrides)
        with pytest.raises(
            InputError,
            match="published weights of VTN.BACKBONE test_vit cannot .*set VTN.PRETRAINED to False",
        ):
            start.make_model_of(cfg, start.find_training_source(cfg))


def test_the_log_says_what_training_starts_from_without_a_checkpoint(tiny_cfg, caplog):
    for overrides, what in (
        (("VTN.PRETRAINED", "True"), r"the backbone's published weights \(VTN\.PRETRAINED\)"),
        ((), "random weights"),
        ((*I3D, "VTN.PRETRAINED", "True"), "random weights"),
    ):
        caplog.clear()
        with caplog.at_level("INFO"):
            cfg = tiny_cfg(*overrides, "TRAIN.CHECKPOINT_PARTIAL", "True")
            assert start.find_training_source(cfg) is None
        assert re.search(f"No TRAIN.CHECKPOINT_FILE_PATH: training starts from {what}$", caplog.text.strip())


@pytest.mark.parametrize("partial", [False, True])
def test_an_image_networks_weights_are_repeated_over_time(partial, tiny_cfg, tmp_path, caplog):
    """Of a 3D kernel's T slices each is the 2D kernel over T; an image network's classifier does not fit."""
    model = make_model(tiny_cfg(*I3D))
    images = {name: torch.ones_like(x) for name, x in model.state_dict().items()}
    images = {name: x[:, :, 0] if x.ndim == 5 else x for name, x in images.items()}
    images["head.projection.weight"] = torch.ones(7, 256)
    torch.save(images, tmp_path / "images.pyth")
    before = model.head.projection.weight.clone()
    with caplog.at_level("INFO"):
        epoch = checkpoint.restore_checkpoint(
            str(tmp_path / "images.pyth"), model, inflation=True, partial=partial
        )
    assert epoch == -1
    assert "head.projection.weight" in caplog.text
    assert torch.equal(model.head.projection.weight, before)
    frames = {x.shape[2] for x in model.state_dict().values() if x.ndim == 5}
    assert {1, 3, 5} <= frames
    for name, x in model.state_dict().items():
        if x.ndim == 5:
            torch.testing.assert_close(x, torch.full_like(x, 1 / x.shape[2]), msg=name)
