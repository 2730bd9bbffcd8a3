"""How a person types a command: the way in which the one that runs was started."""

import shlex
import sys
from pathlib import Path

_TOOLS = Path(__file__).resolve().parents[1] / "tools"  # only a checkout has it


def as_typed(name: str) -> str:
    """Words that start a command, for messages: `python tools/NAME.py` within such a file, else `vtn NAME`.

    Args:
        name: A name of slowfast_ext.cli.COMMANDS.
    """
    script = Path(sys.argv[0])
    if script.suffix == ".py" and script.resolve().parent == _TOOLS:
        return f"python {shlex.quote(str(script.with_name(f'{name}.py')))}"
    return f"vtn {name}"
