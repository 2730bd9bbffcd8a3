"""Importing loads nothing; the first use registers, or says what is wrong; a second use does no harm."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def python(code: str, *, folder: Path = ROOT, **env: str) -> list[str]:
    """Run code in a new process; returns the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **env},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_an_import_loads_no_pyslowfast_and_the_first_use_does():
    before, after = python("""
        import sys, slowfast_ext
        print("slowfast" in sys.modules)
        slowfast_ext.register()
        slowfast_ext.register()
        from slowfast_ext.host import get_host
        registered = "VTN" in get_host().MODEL_REGISTRY, "Vtnkinetics" in get_host().DATASET_REGISTRY
        print("slowfast" in sys.modules, *registered, "VTN" in get_host().get_defaults())
    """)
    assert before == "False"
    assert after == "True True True True"


def test_no_module_loads_a_pyslowfast_but_those_that_are_reached_through_the_host():
    """An import before the cures would find PySlowFast as it was published."""
    (found, count) = python("""
        import importlib, pkgutil, sys
        import slowfast_ext
        through_host = ("slowfast_ext.host.git", "slowfast_ext.host.wheel")
        through_host += "slowfast_ext.plugin.git", "slowfast_ext.plugin.wheel"
        names = [found.name for found in pkgutil.walk_packages(slowfast_ext.__path__, "slowfast_ext.")]
        names = [name for name in names if not name.startswith(through_host)]
        for name in names:
            importlib.import_module(name)
            if "slowfast" in sys.modules:
                print(name)
                break
        else:
            print("none")
        print(len(names))
    """)
    assert found == "none"
    assert int(count) > 70


def test_each_use_says_what_is_wrong(tmp_path):
    lines = python(
        """
        import slowfast_ext, vtn
        for _ in range(2):
            try:
                slowfast_ext.register()
            except vtn.InputError as error:
                print(error)
        """,
        SLOWFAST_HOME=str(tmp_path),
    )
    assert len(lines) == 2
    assert lines[0] == lines[1]
    assert lines[0].startswith(f"SLOWFAST_HOME is '{tmp_path}': it must be a checkout of")


@pytest.mark.slow
def test_a_registration_that_failed_half_way_is_finished_by_the_next_use():
    """The keys cannot be added at first, when the model is registered already."""
    lines = python("""
        import slowfast_ext
        from slowfast_ext import config
        from slowfast_ext.host import get_host

        def fails(cfg):
            raise OSError("the disk is gone")

        adds, config.add_vtn_config = config.add_vtn_config, fails
        try:
            slowfast_ext.register()
        except OSError as error:
            print(error)
        import slowfast_ext.plugin
        slowfast_ext.plugin.add_vtn_config = adds
        slowfast_ext.register()
        print("VTN" in get_host().get_defaults(), "VTN" in get_host().MODEL_REGISTRY)
    """)
    assert lines == ["the disk is gone", "True True"]


@pytest.mark.parametrize(
    "command",
    [
        ["tools/run_net.py", "--help"],
        ["tools/prepare_dataset.py", "folder", "--videos", "videos", "--out", "out"],
        ["tools/plot_curves.py", "run"],
    ],
    ids=lambda command: " ".join(command[:2]),
)
def test_commands_that_need_no_pyslowfast_load_none(command, tmp_path, data_dir):
    (tmp_path / "videos" / "jump").mkdir(parents=True)
    for number in range(3):
        (tmp_path / "videos" / "jump" / f"{number}.mp4").write_bytes(
            (data_dir / f"{number}.mp4").read_bytes()
        )
    (tmp_path / "run").mkdir()
    lines = [{"_type": "train_epoch", "epoch": "1/1", "top1_err": 50.0, "loss": 1.0}]
    lines += [{"_type": "val_epoch", "epoch": "1/1", "top1_err": 50.0}]
    log = "".join(f"json_stats: {json.dumps(line)}\n" for line in lines)
    (tmp_path / "run" / "stdout.log").write_text(log)
    script, *arguments = command
    (*_, last) = python(
        f"""
        import runpy, sys
        sys.argv = {[script, *arguments]!r}
        try:
            runpy.run_path({str(ROOT / script)!r}, run_name="__main__")
        except SystemExit as error:
            assert not error.code, error.code
        print("\\n", sorted({{name.split(".")[0] for name in sys.modules}} & {{"slowfast"}}))
        """,
        folder=tmp_path,
    )
    assert last.strip() == "[]"
