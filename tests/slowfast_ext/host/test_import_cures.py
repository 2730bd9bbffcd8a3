"""Stand-ins for what PySlowFast imports and nobody can install."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch import multiprocessing
from torch.nn import functional as F

from slowfast_ext.host import get_host, import_cures
from slowfast_ext.host.cures import applied_cures, needless_cures
from slowfast_ext.host.import_cures import SoftTargetCrossEntropyLoss
from vtn import InputError

on_main = pytest.mark.skipif(get_host().NAME != "git", reason="SLOWFAST_HOME names no checkout of main")

OF_MAIN = (
    "pytorchvideo.layers.distributed",
    "pytorchvideo.losses.soft_target_cross_entropy",
    "vision.fair.slowfast",
    "torchvision.transforms.functional_tensor",
)


def python(code: str, *path: Path | str, **env: str) -> subprocess.CompletedProcess:
    """Run code in a new process with these folders first on its path."""
    path = os.pathsep.join([*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": path, **env},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_soft_targets_are_pytorchs_own_loss():
    logits, targets = torch.randn(6, 5), torch.rand(6, 5).softmax(1)
    found = SoftTargetCrossEntropyLoss(normalize_targets=False)(logits, targets)
    torch.testing.assert_close(found, F.cross_entropy(logits, targets))
    each = SoftTargetCrossEntropyLoss(reduction="none", normalize_targets=False)(logits, targets)
    torch.testing.assert_close(each, F.cross_entropy(logits, targets, reduction="none"))
    found = SoftTargetCrossEntropyLoss()(logits, 3 * targets)
    torch.testing.assert_close(found, F.cross_entropy(logits, targets))
    labels = torch.tensor([0, 4, 2, 2, 1, 3])
    torch.testing.assert_close(SoftTargetCrossEntropyLoss()(logits, labels), F.cross_entropy(logits, labels))
    ignored = SoftTargetCrossEntropyLoss(ignore_index=2, reduction="none")(logits, labels)
    assert ignored[2:4].tolist() == [0, 0]
    with pytest.raises(InputError, match="reduction is 'sum'"):
        SoftTargetCrossEntropyLoss(reduction="sum")


def _one_process(rank: int, meet: str, folder: str) -> None:
    """Of four: two machines of two."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meet}", world_size=4, rank=rank)
    import_cures.init_distributed_training(num_gpus=2, shard_id=rank // 2)
    mine = torch.tensor([rank])
    found = {
        "rank": import_cures.get_local_rank(),
        "size": import_cures.get_local_size(),
        "all": import_cures.cat_all_gather(mine).tolist(),
        "machine": import_cures.cat_all_gather(mine, local=True).tolist(),
        "group": dist.get_world_size(import_cures.get_local_process_group()),
    }
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_processes_of_one_machine(tmp_path):
    multiprocessing.spawn(_one_process, (str(tmp_path / "meet"), str(tmp_path)), nprocs=4)
    for rank in range(4):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found == {
            "rank": rank % 2,
            "size": 2,
            "all": [0, 1, 2, 3],
            "machine": [[0, 1], [2, 3]][rank // 2],
            "group": 2,
        }


def test_one_process_needs_no_group():
    import_cures.init_distributed_training(num_gpus=1, shard_id=0)
    assert (import_cures.get_local_rank(), import_cures.get_local_size()) == (0, 1)
    with pytest.raises(RuntimeError, match="was not called"):
        import_cures.get_local_process_group()


def test_detectron2_is_wanted_only_where_it_is_used():
    from slowfast.models.head_helper import ROIAlign

    with pytest.raises(InputError, match="need detectron2, which is not installed"):
        ROIAlign(7)


def test_a_detectron2_that_is_installed_is_left_alone(tmp_path):
    (tmp_path / "detectron2" / "layers").mkdir(parents=True)
    (tmp_path / "detectron2" / "__init__.py").touch()
    (tmp_path / "detectron2" / "layers" / "__init__.py").write_text("class ROIAlign: real = True\n")
    done = python(
        """
        import slowfast_ext; slowfast_ext.register()
        from slowfast.models.head_helper import ROIAlign
        from slowfast_ext.host.cures import needless_cures
        print(ROIAlign.real, [cure.name for cure in needless_cures()])
        """,
        tmp_path,
    )
    assert done.stdout.splitlines()[-1] == "True ['detectron2.layers.ROIAlign']", done.stderr[-1000:]


@on_main
@pytest.mark.parametrize("name", OF_MAIN)
def test_main_does_not_import_without(name):
    """With all stand-ins but one, the import ends with what that one stands in for; with all it does not."""
    assert name in {cure.name for cure in applied_cures()}
    code = """
        import sys
        import slowfast_ext; slowfast_ext.register()
        from slowfast_ext.host import import_cures
        # Everything is cured by now; begin again without one of the cures.
        for module in [m for m in sys.modules if m.split(".")[0] in ("slowfast", "vision", "pytorchvideo")]:
            del sys.modules[module]
        sys.modules.pop("torchvision.transforms.functional_tensor", None)
        import_cures.importlib.invalidate_caches()
        for cure in import_cures._GIT:
            if cure.name not in {MISSING} and cure.present():
                cure.apply()
        import slowfast.models, slowfast.datasets, slowfast.utils.meters
        from vision.fair.slowfast.tools.train_net import train
        print("imported", "Ptvkinetics" in slowfast.datasets.DATASET_REGISTRY)
    """
    done = python(code.replace("{MISSING}", "()"))
    assert done.stdout.splitlines()[-1] == "imported True", done.stderr[-1500:]
    done = python(code.replace("{MISSING}", f"({name!r},)"))
    if name.startswith("torchvision"):  # main goes on without its pytorchvideo data sets
        assert done.stdout.splitlines()[-1] == "imported False"
    else:
        assert done.returncode != 0
        assert "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr


@on_main
def test_a_pytorchvideo_that_has_the_names_is_left_alone(tmp_path):
    """A newer pytorchvideo, before the one that is installed."""
    layers = tmp_path / "pytorchvideo" / "layers"
    layers.mkdir(parents=True)
    (tmp_path / "pytorchvideo" / "__init__.py").write_text(
        "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n"
    )
    (layers / "__init__.py").write_text(
        "from pkgutil import extend_path\n__path__ = extend_path(__path__, __name__)\n"
    )
    names = "get_world_size cat_all_gather get_local_process_group get_local_rank get_local_size".split()
    lines = [f"def {name}(*args): return 1" for name in [*names, "init_distributed_training"]]
    (layers / "distributed.py").write_text("\n".join(lines))
    done = python(
        """
        import slowfast_ext; slowfast_ext.register()
        from slowfast.utils.distributed import get_local_rank
        from slowfast_ext.host.cures import needless_cures
        print(get_local_rank.__module__, [cure.name for cure in needless_cures()])
        """,
        tmp_path,
    )
    expected = "pytorchvideo.layers.distributed ['pytorchvideo.layers.distributed']"
    assert done.stdout.splitlines()[-1] == expected, done.stderr[-1000:]


@on_main
def test_without_a_needed_package_one_sentence_says_what_to_type(tmp_path):
    (tmp_path / "pandas.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'pandas'\", name='pandas')"
    )
    done = python("import slowfast_ext; slowfast_ext.register()", tmp_path)
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert "needs the package pandas, which is not installed: `vtn doctor` says what to type" in last
    assert not needless_cures() or "pandas" not in str(needless_cures())
