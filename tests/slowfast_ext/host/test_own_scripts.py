"""People who keep their own run_net.py: two lines at its top are all that VTN needs there.

Runs where SLOWFAST_HOME names a checkout of main, whose tools/run_net.py is the script that they have.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from slowfast_ext.host import get_host, get_installation

pytestmark = pytest.mark.skipif(get_host().NAME != "git", reason="SLOWFAST_HOME names no checkout of main")

TWO_LINES = "import slowfast_ext\nslowfast_ext.register()\n"


def run(*command: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def their_script(tmp_path) -> Path:
    """main's own tools/run_net.py with the two lines, in a folder that is not ours."""
    folder = tmp_path / "their_project"
    folder.mkdir()
    script = folder / "run_net.py"
    script.write_text(TWO_LINES + (get_installation().tools / "run_net.py").read_text())
    return script


@pytest.mark.parametrize("processes", ["1", "2"])
def test_main_s_run_net_with_two_lines(processes, their_script, tiny_config, data_dir, tmp_path):
    """VTN by main's own launcher, train and test, in this process and in spawned ones."""
    out = tmp_path / "out"
    overrides = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(out), "SOLVER.MAX_EPOCH", "1"]
    meet = ["--init_method", f"file://{tmp_path}/meet"]
    done = run(
        str(their_script),
        *meet,
        *("--cfg", str(tiny_config), *overrides, "VTN.CPU_PROCESSES", processes),
        cwd=their_script.parent,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    log = (out / "stdout.log").read_text()
    assert f"Host: {get_installation().description}" in log
    assert "'MEAN': [0.5, 0.5, 0.5]" in log  # what the backbone was trained with, not PySlowFast's 0.45
    final = json.loads(log.split("json_stats: ")[-1].splitlines()[0])
    assert (final["split"], final["num_videos"], final["num_failed"]) == ("test_final", 7, 0)


def test_without_the_two_lines_it_does_not_even_start(their_script):
    their_script.write_text(their_script.read_text().removeprefix(TWO_LINES))
    root = str(get_installation().root)
    done = run(str(their_script), "--help", cwd=their_script.parent, PYTHONPATH=root)
    assert done.returncode != 0
    assert "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr


def test_bad_input_is_one_sentence_at_the_end(their_script, tiny_config):
    """main's script catches no errors, so Python prints where it was; the sentence comes last."""
    line = ["--cfg", str(tiny_config), "VTN.NUM_ATTENTION_HEADS", "5"]
    done = run(str(their_script), *line, cwd=their_script.parent)
    assert done.returncode != 0
    assert "VTN.NUM_ATTENTION_HEADS is 5: it must be a divisor" in done.stderr.splitlines()[-1]


def test_configurations_are_found(their_script, tmp_path):
    """The keys are in main's own configuration, and our YAML files load with main's own functions."""
    script = tmp_path / "load.py"
    script.write_text(
        TWO_LINES
        + "from pathlib import Path\n"
        + "from slowfast.config.defaults import assert_and_infer_cfg, get_cfg\n"
        + "for path in sorted(Path('configs').glob('*/*.yaml')):\n"
        + "    cfg = get_cfg()\n"
        + "    cfg.merge_from_file(str(path))\n"
        + "    cfg.NUM_GPUS = 0\n"
        + "    print(path.name, assert_and_infer_cfg(cfg).VTN.NUM_HIDDEN_LAYERS)\n"
    )
    root = Path(__file__).resolve().parents[3]
    done = run(str(script), cwd=root)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "VTN_ViT_B.yaml 3" in done.stdout
    assert "VTN_ViT_B_1layer.yaml 1" in done.stdout
    assert "SLOWFAST_8x8_R50.yaml 3" in done.stdout


def test_registered_in_a_spawned_process(tmp_path):
    script = tmp_path / "spawns.py"
    script.write_text(
        TWO_LINES
        + "import multiprocessing\n"
        + "from slowfast.datasets.build import DATASET_REGISTRY\n"
        + "from slowfast.models.build import MODEL_REGISTRY\n"
        + "def look():\n"
        + "    names = 'Vtnkinetics', 'Vtnmit', 'Vtnsegments'\n"
        + "    print('VTN' in MODEL_REGISTRY, *(name in DATASET_REGISTRY for name in names))\n"
        + "if __name__ == '__main__':\n"
        + "    child = multiprocessing.get_context('spawn').Process(target=look)\n"
        + "    child.start()\n"
        + "    child.join()\n"
        + "    slowfast_ext.register()\n"
    )
    done = run(str(script), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "True True True True"


def test_installed_without_tools_our_loops_run(tiny_config, data_dir, tmp_path):
    """`pip install --no-deps git+…` brings the package alone; it also wins over the wheel beside it."""
    site = tmp_path / "site"
    site.mkdir()
    shutil.copytree(get_installation().root / "slowfast", site / "slowfast")
    info = site / "slowfast-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slowfast\nVersion: 1.0\n")
    url = {"url": "https://x", "vcs_info": {"vcs": "git", "commit_id": "0123456789" * 4}}
    (info / "direct_url.json").write_text(json.dumps(url))
    out, root = tmp_path / "out", Path(__file__).resolve().parents[3]
    overrides = ["DATA.PATH_TO_DATA_DIR", str(data_dir), "OUTPUT_DIR", str(out), "SOLVER.MAX_EPOCH", "1"]
    path = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), str(site)])
    line = ["tools/run_net.py", "--cfg", str(tiny_config), *overrides]
    done = run(*line, cwd=root, SLOWFAST_HOME="", PYTHONPATH=path)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    log = (out / "stdout.log").read_text()
    assert f"Host: PySlowFast main, commit 0123456, in {site}; not used: the one in" in log
    assert "Validating on 7 videos" in log  # our loop's line; main's has none
    assert json.loads((out / "test_results.json").read_text())["num_videos"] == 7
    done = run(*line, "TRAIN.MIXED_PRECISION", "True", cwd=root, SLOWFAST_HOME="", PYTHONPATH=path)
    assert (done.returncode, "TRAIN.MIXED_PRECISION is True" in done.stderr) == (2, True)
