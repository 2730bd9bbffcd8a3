"""What PySlowFast main costs at start-up: from `python` to everything registered, against the wheel.

    SLOWFAST_HOME=/path/to/SlowFast python benchmarks/start_up.py

The two are started in turn, in processes of their own, and once more importing only what main itself imports.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from common import check_out, in_turn, ratio, write_record

from slowfast_ext.cli import run_safely
from vtn.errors import InputError

_REGISTER = "import slowfast_ext; slowfast_ext.register()"
_BARE = "import torch, torchvision, timm"


def seconds(code: str, home: str) -> float:
    """Seconds that `python -c code` takes with SLOWFAST_HOME set to `home`."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "SLOWFAST_HOME": home}, check=True)
    return time.perf_counter() - started


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7, help="number of starts that a median is taken over")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/start_up.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    home = os.environ.get("SLOWFAST_HOME", "")
    if not home:
        raise InputError("SLOWFAST_HOME is not set: it must name a checkout of PySlowFast main")
    rows = []
    for what, ours, against, theirs in (
        ("main from git, registered", (_REGISTER, home), "the wheel, registered", (_REGISTER, "")),
        ("main from git, registered", (_REGISTER, home), _BARE, (_BARE, "")),
    ):
        row = {"what": what, "against": against, "unit": "s", "better": "lower", "target": None}
        found = in_turn(lambda ours=ours: seconds(*ours), lambda theirs=theirs: seconds(*theirs), args.turns)
        rows.append(row | found | ratio(found))
    write_record(args.out, rows, argv, "torch", "torchvision", "timm")


if __name__ == "__main__":
    run_safely(main)
