"""How a person types a command: the way in which the one that runs was started."""

import shlex
import sys
from pathlib import Path

_TOOLS = Path(__file__).resolve().parents[1] / "tools"  # only a checkout has it


def as_typed(name: str, *words: str) -> str:
    """What a person types: `python tools/NAME.py` if such a file was started, else `vtn NAME`; then words.

    Args:
        name: A name of slowfast_ext.cli.COMMANDS.
        words: Arguments, which are quoted where a shell needs it.
    """
    script = Path(sys.argv[0])
    start = ["vtn", name]
    if script.suffix == ".py" and script.resolve().parent == _TOOLS:
        start = ["python", str(script.with_name(f"{name}.py"))]
    return shlex.join([*start, *words])
