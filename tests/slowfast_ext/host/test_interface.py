"""The rest of the project may call on either PySlowFast what it calls on the other."""

import ast
from pathlib import Path

from slowfast_ext.host import get_host

HOST = Path(__file__).resolve().parents[3] / "slowfast_ext" / "host"


def names(module: str) -> list[str]:
    """`__all__` of a host module, read from its text: only one of the two can be imported."""
    for statement in ast.parse((HOST / f"{module}.py").read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__":
            return ast.literal_eval(statement.value)
    raise AssertionError(f"{module} has no __all__")


def test_both_hosts_have_the_same_names():
    assert names("git") == names("wheel") == sorted(names("git"))


def test_this_host_has_them():
    assert all(hasattr(get_host(), name) for name in names(get_host().NAME))
