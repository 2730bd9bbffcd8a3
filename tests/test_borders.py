"""Imports go one way, those inside functions too; there is no circle of files; one name is one thing."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# From the ground up: a file may import what stands in its own line or in a line above it. The package itself,
# `slowfast_ext/__init__.py`, plugs the plugin in; `slowfast_ext.plugs` is how.
LAYERS = [
    ["vtn"],
    [
        "plugs",
        "files",
        "freed_memory",
        "processes",
        "processor",
        "progress",
        "run_lock",
        "distributed",
        "launch",
        "version",
        "typed",
        "config_files",
    ],
    ["video"],
    ["host"],
    [
        *(
            "config",
            "config_adapt",
            "config_augment",
            "config_check",
            "config_limits",
            "config_steps",
            "inflate",
        ),
        *("arguments", "recipe", "protocols"),
    ],
    ["data"],
    ["models", "flops"],
    ["engine"],
    ["plugin"],
    [
        "cli",
        "run_net",
        "repeat_step",
        "export",
        "programs",
        "doctor",
        "doctor_machine",
        "benchmark",
        "report",
        "compare",
        "features",
        "jobs",
        "predict",
        "prepare",
        "demo",
        "__main__",
    ],
]
# Where a PySlowFast itself may be imported.
KNOW_PYSLOWFAST = {"host", "plugin"}
NO_CONFIGURATION = {"vtn", "video", "files", "plugs"}


def imported(source: str, package: str) -> Iterator[str]:
    """Modules that a file imports, anywhere in it; what a package is asked for may be a module or a name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def modules() -> dict[str, Path]:
    """Every module of the two packages, by its name."""
    found = {}
    for name, folder in (("vtn", ROOT / "projects" / "vtn"), ("slowfast_ext", ROOT / "slowfast_ext")):
        for path in folder.rglob("*.py"):
            parts = [name, *path.relative_to(folder).with_suffix("").parts]
            found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imports_of(module: str) -> set[str]:
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set(imported(path.read_text(), package))
    names = {name for name in found if name in MODULES} - {module}
    # `from package import module` also runs the package, but asks nothing of it.
    return {name for name in names if not any(other.startswith(f"{name}.") for other in names)}


def layer_of(module: str) -> int:
    first = module.split(".")[1] if module.startswith("slowfast_ext.") else "vtn"
    (found,) = [number for number, layer in enumerate(LAYERS) if first in layer]
    return found


def upward(module: str) -> list[str]:
    """What a module imports from a line below its own, that is, from what is built on it."""
    names = imports_of(module) - {"slowfast_ext"}
    return sorted(name for name in names if layer_of(name) > layer_of(module))


def test_the_walk_sees_every_import():
    function = "def f():\n    from slowfast_ext.host import get_host\n"
    source = f"import a.b\nfrom . import c\nfrom ..d import e\n{function}"
    assert set(imported(source, "x.y")) == {
        *("a.b", "x.y", "x.y.c", "x.d", "x.d.e", "slowfast_ext.host", "slowfast_ext.host.get_host"),
    }
    assert layer_of("slowfast_ext.host.git") == 3
    assert layer_of("vtn.model") == 0
    assert len(MODULES) > 100


@pytest.mark.parametrize("module", [name for name in MODULES if name != "slowfast_ext"])
def test_imports_go_one_way(module):
    assert upward(module) == []


def test_the_package_itself_imports_only_what_plugs_in():
    known = {"slowfast_ext.version", "slowfast_ext.plugs", "slowfast_ext.plugin", "slowfast_ext.host"}
    assert imports_of("slowfast_ext") <= known
    importers = {name for name in MODULES if "slowfast_ext" in imports_of(name)}
    assert {name.split(".")[1] for name in importers} <= {"doctor"}


def test_there_is_no_circle_of_files():
    waiting = {name: imports_of(name) for name in MODULES if name != "slowfast_ext"}
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert waiting == {}


@pytest.mark.parametrize("module", MODULES)
def test_only_host_and_plugin_know_pyslowfast(module):
    package = module.split(".")[1] if "." in module else module
    path = MODULES[module]
    tops = {name.split(".")[0] for name in imported(path.read_text(), module)}
    if package not in KNOW_PYSLOWFAST:
        assert "slowfast" not in tops
    if package in NO_CONFIGURATION:
        assert not tops & {"fvcore", "yacs"}


def test_a_public_name_is_one_thing():
    """Both hosts give the names of the interface; every program has its `main`; the loops share theirs."""
    places = defaultdict(set)
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                places[node.name].add(module)
    hosts = {"slowfast_ext.host.wheel", "slowfast_ext.host.git"}
    cures = {"slowfast_ext.host.wheel_cures", "slowfast_ext.host.git_cures"}
    models = {"slowfast_ext.host.wheel_models", "slowfast_ext.host.git_models"}
    plugs = {"slowfast_ext.plugin.wheel", "slowfast_ext.plugin.git"}
    loops = {
        f"slowfast_ext.{name}" for name in ("engine.train", "engine.test", "plugin.git_loops", "plugin.loops")
    }
    twice = {
        name: sorted(where)
        for name, where in places.items()
        if len(where) > 1 and not any(where <= pair for pair in (hosts, models, cures, plugs))
    }
    twice.pop("main")  # of each program
    assert twice.pop("VTN") == ["slowfast_ext.models", "vtn.model"]  # the registry takes the name of a class
    assert all(set(twice.pop(name, ())) <= loops for name in ("train", "test"))
    assert twice == {}
    assert Counter(places).keys() >= {"VTN", "get_host", "VideoReader"}
