"""Every command line of the pages is accepted by the program that it names; README's first one is run."""

import argparse
import re
import runpy
import shlex
import shutil
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pages import PAGES, ROOT, blocks, commands, overrides, text_of
from videos import make_video

from slowfast_ext import benchmark as benchmarking
from slowfast_ext import cli, config_check, config_steps
from slowfast_ext import run_net as training
from slowfast_ext.compare import command as comparing
from slowfast_ext.config import get_cfg, load_config
from slowfast_ext.host import get_host
from slowfast_ext.host.command_line import parse_args
from slowfast_ext.predict import command as predicting
from slowfast_ext.prepare import command as preparing
from slowfast_ext.protocols import PROTOCOLS
from slowfast_ext.version import __version__

VTN = ROOT / "configs/Kinetics/VTN_ViT_B.yaml"
I3D = VTN.with_name("I3D_8x8_R50.yaml")
COMMANDS = [(page, words) for page in PAGES for words in commands(page)]
OVERRIDES = sorted({tuple(pairs) for page in PAGES for pairs in overrides(page)})
# Of no program of ours, and changing nothing that a test could see.
FOREIGN = ("git clone ", "export SLOWFAST_HOME")
# Not typed as they stand.
FORMS = {"vtn NAME", "vtn COMMAND --help", "python tools/NAME.py", "python -m slowfast_ext NAME"}
WHEEL = f"vtn_pyslowfast-{__version__}-py3-none-any.whl"


class Parsed(BaseException):
    """The program's own parser took the command line."""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_are_found():
    found = {page: sum(page == other for other, _ in COMMANDS) for page in PAGES}
    assert found["README.md"] >= 7
    assert found["docs/configuration.md"] >= 3
    assert found["docs/datasets.md"] >= 5
    assert len(OVERRIDES) > 30


@pytest.mark.parametrize(("page", "words"), COMMANDS, ids=[shlex.join(words)[:80] for _, words in COMMANDS])
def test_command_is_accepted(page, words, folder, monkeypatch):
    words = words[words.index("|") + 1 :] if "|" in words else words
    if " ".join(words) in FORMS:
        return
    if words[0] == "pipx":
        assert words[1] in ("install", "run")
        accept_wheel(words[words.index("--spec") + 1 if words[1] == "run" else 2])
        words = words[words.index("vtn") :] if words[1] == "run" else ["vtn", "--version"]
    if words[0] == "vtn":
        if words[-1] in ("--help", "--version"):
            assert words[1:-1] in ([], *([name] for name in cli.COMMANDS))
            return
        words = ["python", f"tools/{words[1]}.py", *words[2:]]
    if words[0] == "make":
        assert set(words[1:]) <= set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    elif words[:2] == ["pip", "install"]:
        accept_pip(words[2:])
    elif words[:2] == ["pip", "wheel"]:
        assert words[-1] == "."
    elif words[0] == "pytest":
        assert all((ROOT / word).exists() for word in words[1:] if word != "-s")
    elif words[:2] == ["python", "tools/run_net.py"]:
        accept_run_net(words[2:], monkeypatch)
    elif words[0] == "torchrun":
        words = " ".join(words).replace("-m slowfast_ext run_net", "tools/run_net.py").split()
        accept_run_net(words[words.index("tools/run_net.py") + 1 :], monkeypatch)
    elif words[:2] == ["python", "tools/benchmark.py"] and "--help" not in words:
        accept_benchmark(words[2:], monkeypatch)
    elif words[:2] == ["python", "-m"]:
        accept_program(ROOT / (words[2].replace(".", "/") + ".py"), words[3:], monkeypatch)
    elif words[0] == "python":
        accept_program(ROOT / words[1], words[2:], monkeypatch)
    else:
        assert " ".join(words).startswith(FOREIGN)


def accept_pip(words: list[str]) -> None:
    """Extras exist, and so do the files that are named."""
    for extras in re.findall(r"^(?:\.|FILE\.whl)\[(.*)\]$", "\n".join(words), re.MULTILINE):
        assert all(f'"{extra}"' in text_of("setup.py") for extra in extras.split(","))
    for word in words:
        if word.endswith(".whl"):
            accept_wheel(word)
    if "-c" in words:
        assert (ROOT / words[words.index("-c") + 1]).is_file()


def accept_wheel(name: str) -> None:
    """It is what is built of this version; tests/test_package.py builds one."""
    assert name in ("FILE.whl", f"dist/{WHEEL}")


def accept_program(path: Path, words: list[str], monkeypatch) -> None:
    """Let a program parse its command line, and stop it there."""
    assert path.is_file()
    if not words and path.name in ("prepare_dataset.py", "run_net.py"):
        return  # named, not typed
    parse, parse_intermixed = (
        argparse.ArgumentParser.parse_args,
        argparse.ArgumentParser.parse_intermixed_args,
    )

    def parse_only(parser, argv=None, namespace=None):
        parse(parser, argv, namespace)
        raise Parsed

    def intermixed_only(parser, argv=None, namespace=None):
        parse_intermixed(parser, argv, namespace)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    monkeypatch.setattr(argparse.ArgumentParser, "parse_intermixed_args", intermixed_only)
    monkeypatch.setattr(sys, "argv", [str(path), *words])
    monkeypatch.syspath_prepend(str(path.parent))
    if "--help" in words:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(path), run_name="__main__")
        assert ended.value.code == 0
        return
    with pytest.raises(Parsed):
        runpy.run_path(str(path), run_name="__main__")


def accept_benchmark(words: list[str], monkeypatch) -> None:
    """Load what would be compared."""
    called = []

    def note(paths: list[str], pairs: list[str], **options) -> list:
        called.append(paths)
        for path in paths:
            load(ROOT / path, pairs, monkeypatch)
        names = [Path(path).stem for path in paths]
        assert all(text.partition("=")[0] in names for text in options["checkpoints"])
        assert set(options["protocols"]) <= set(PROTOCOLS)
        return []

    monkeypatch.setattr(comparing, "compare_models", note)
    monkeypatch.setattr(benchmarking, "make_tables", lambda out, command: called.append(out))
    assert benchmarking.benchmark(words) == 0
    assert called


def accept_run_net(words: list[str], monkeypatch) -> None:
    """Load each configuration with the overrides, but for the videos that they name."""
    args = parse_args(words)
    for name in args.cfg_files:
        path = ROOT / name.replace("NAME", "VTN_ViT_B")
        if name.startswith("outputs/"):
            path = VTN  # what a run writes has the keys of its configuration
        elif name.startswith("SlowFast/"):
            if get_host().NAME != "git":
                continue
            path = get_host_checkout() / name.removeprefix("SlowFast/")
        elif not path.exists():
            path = ROOT / "configs" / name
        load(path, args.opts, monkeypatch, num_shards=args.num_shards, shard_id=args.shard_id)


def get_host_checkout() -> Path:
    from slowfast_ext.host import get_installation

    return get_installation().root


def load(path: Path, pairs: list[str], monkeypatch, **machines: int):
    """Load a configuration as on a machine with eight GPUs if NUM_GPUS is said, else on a recent CPU."""
    for value in pairs[1::2]:
        if value.endswith(".pyth"):
            Path(value).parent.mkdir(parents=True, exist_ok=True)
            Path(value).touch()
    monkeypatch.setattr(config_steps, "cpu_has_bfloat16", lambda: True)
    monkeypatch.setenv("CXX", sys.executable)  # any program that is there
    installed = ModuleType("wandb")  # nobody needs to have it
    installed.__spec__ = ModuleSpec("wandb", None)
    monkeypatch.setitem(sys.modules, "wandb", installed)
    if "NUM_GPUS" in pairs:
        monkeypatch.setattr(config_check, "visible_gpus", lambda: 8)
    return load_config(path, ["NUM_GPUS", "0", *pairs], **machines)


@pytest.mark.parametrize("pairs", OVERRIDES, ids=" ".join)
def test_keys_and_values_are_accepted(pairs, folder, monkeypatch):
    cfg = get_cfg()
    if any(key.partition(".")[0] not in cfg for key in pairs[::2]):
        assert get_host().NAME == "wheel"  # main has all that the pages name
        pytest.skip("a key of PySlowFast main")
    load(I3D if "RESNET.INFLATE_FROM" in pairs else VTN, [*pairs], monkeypatch)


def test_ones_own_videos_on_the_cpu(folder, capsys):
    """README's sequence, on tiny videos and for one epoch."""
    (block,) = [block for block in blocks("README.md", "sh") if "tools/predict.py" in block]
    for number in range(12):
        place = folder / "videos" / ("jump", "sit")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        make_video(place / f"video {number}.mp4", 12 + number, fps=25, size=(96, 80))
    prepare, run_net, predict = [words for words in commands("README.md") if shlex.join(words[:2]) in block][
        :3
    ]
    preparing.prepare_dataset([*prepare[2:], "--jobs", "1", "--verify", "quick"])
    shutil.copytree(ROOT / "configs", folder / "configs")
    training.run_net([*run_net[2:], "SOLVER.MAX_EPOCH", "1", "DATA_LOADER.NUM_WORKERS", "0", "NUM_GPUS", "0"])
    capsys.readouterr()
    assert predicting.predict(predict[2:]) == 0
    told = capsys.readouterr().out
    tested = (folder / "outputs/mine/test.csv").read_text().splitlines()
    assert len(tested) >= 2
    saved = np.load("outputs/mine/run/scores.npz")
    for row, scores in zip(tested, saved["scores"], strict=True):
        path, name = Path(row.rpartition(" ")[0]), ("jump", "sit")[scores.argmax()]
        said = re.escape(f"{path.relative_to(folder)} (")
        assert re.search(rf"^{said}.*\n  {scores.max():.3f}  {name}$", told, re.MULTILINE)
    assert "predicted 12 of 12 videos" in told
