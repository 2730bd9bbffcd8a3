"""Kill, stop, signal and starve trainings at random moments: they must end with the bits of one in peace.

    python tests/soak.py --hours 1

Each round trains a tiny network until it is done, however often it is struck, and compares its last
checkpoint with that of a training that was left in peace. Nothing may be left behind: no process, no shared
memory, no half file. Exits with status 1 if something is found.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before PyTorch: threads do not survive a fork

import argparse
import sys
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path
from random import Random

from soaking.rounds import Soak
from soaking.runs import load_everything


def main() -> int:
    """Run the rounds and print what was found."""
    options = _parse()
    begun = time.monotonic()
    load_everything()
    print(f"everything loaded after {time.monotonic() - begun:.1f} s; seed {options.seed}", flush=True)
    rng, deadline = Random(options.seed), begun + 3600 * options.hours
    # No TemporaryDirectory: the forked processes would remove it at their end.
    with Soak(Path(tempfile.mkdtemp(prefix="soak-")), rng) as soak:
        print(soak.how, flush=True)
        for number in count():
            if _is_enough(options, number, len(soak.moments), time.monotonic() > deadline):
                break
            print(f"round {number + 1}: {soak.round(number)}", flush=True)
        _print_table(soak, time.monotonic() - begun)
        return int(bool(soak.problems))


def _is_enough(options: argparse.Namespace, rounds: int, moments: int, time_is_up: bool) -> bool:
    if options.hours:
        return time_is_up
    return rounds >= options.rounds and moments >= options.moments


def _print_table(soak: Soak, seconds: float) -> None:
    print(f"\n{len(soak.moments)} moments in {soak.attempts} attempts, {seconds:.0f} s")
    for what, words in (("struck", 0), ("while", 1)):
        for name, number in Counter(moment[words] for moment in soak.moments).most_common():
            print(f"  {what} {name}: {number}")
    for problem in soak.problems:
        print(f"FOUND: {problem}")
    print("nothing found" if not soak.problems else f"{len(soak.problems)} findings")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=0.0, help="go on for so long")
    parser.add_argument("--rounds", type=int, default=3, help="without --hours: at least so many trainings")
    parser.add_argument("--moments", type=int, default=0, help="without --hours: at least so many blows")
    parser.add_argument("--seed", type=int, default=0, help="decides the blows; their moments are chance")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
