"""Both PySlowFasts give what `interface.Host` lists: all of it, no more, with the arguments listed there."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from slowfast_ext.host import get_host
from slowfast_ext.host.interface import Host

PACKAGE = Path(__file__).resolve().parents[3] / "slowfast_ext"
METHODS = {name: value for name, value in vars(Host).items() if inspect.isfunction(value) and name[0] != "_"}
LISTED = {*METHODS, *inspect.get_annotations(Host)}


def offered(module: str) -> list[str]:
    """`__all__` of a host module, read from its text: only one of the two can be imported."""
    for statement in ast.parse((PACKAGE / "host" / f"{module}.py").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return ast.literal_eval(statement.value)
    raise AssertionError(f"{module} has no __all__")


@pytest.mark.parametrize("module", ["wheel", "git"])
def test_a_host_offers_what_the_interface_lists(module):
    assert len(LISTED) > 15
    assert offered(module) == sorted(LISTED)


def test_this_host_takes_the_arguments_that_are_listed():
    for name, method in METHODS.items():
        listed = list(inspect.signature(method).parameters)[1:]  # without self
        given = inspect.signature(getattr(get_host(), name)).parameters
        assert list(given)[: len(listed)] == listed, name
        rest = list(given.values())[len(listed) :]
        assert all(parameter.default is not inspect.Parameter.empty for parameter in rest), name


def test_every_name_has_a_sentence():
    documented = re.findall(r"^        (\w+): [A-Z\"]", Host.__doc__, re.MULTILINE)
    assert sorted(documented) == sorted(inspect.get_annotations(Host))
    for name, method in METHODS.items():
        assert method.__doc__.endswith("."), name


def test_every_name_is_used_above():
    text = "\n".join(
        path.read_text() for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] != "host"
    )
    used = set(re.findall(r"(?<!\.)\b(?:get_host\(\)|host)\.(\w+)", text))
    assert used >= LISTED
    assert {name for name in used if hasattr(get_host(), name)} <= LISTED  # nothing that only one of them has
