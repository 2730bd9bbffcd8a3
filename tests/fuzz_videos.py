"""Read damaged videos in every way that the project has, and look for what must not happen.

    python tests/fuzz_videos.py --cases 1000

Each case follows from its number, so what is found can be run again. Exits with status 1 if there are
findings that are not explained in tests/fuzzing/explained.py.
"""

import argparse
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from fuzzing.cases import choose_cases
from fuzzing.damages import DAMAGES
from fuzzing.kinds import KINDS
from fuzzing.runner import format_tables, is_explained, keep_smallest, run_cases, show_progress


def main() -> int:
    """Run the cases and print the tables."""
    options = _parse()
    cases = list(choose_cases(options.first, options.cases, options.kind, options.damage))
    results, begun = [], time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with closing(run_cases(cases, folder, jobs=options.jobs)) as running:
                for result in show_progress(running, len(cases)):
                    results.append(result)
                    for finding in result.findings:
                        _say(result, finding)
        except KeyboardInterrupt:
            print(f"stopped after {len(results)} of {len(cases)} cases", file=sys.stderr)
        print(format_tables(results, time.monotonic() - begun))
        if options.keep:
            print("\n".join(keep_smallest(results, folder, options.keep)))
    return int(any(not is_explained(result, finding) for result in results for finding in result.findings))


def _say(result, finding) -> None:
    case, why = result.case, " (explained)" if is_explained(result, finding) else ""
    print(
        f"case {case.number}: {finding.name}{why}: {case.kind}, {case.damage}: {finding.detail}", flush=True
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="write a small file for each finding there")
    parser.add_argument("--kind", choices=KINDS, metavar="NAME", help=f"one of: {', '.join(KINDS)}")
    parser.add_argument("--damage", choices=DAMAGES, metavar="NAME", help=f"one of: {', '.join(DAMAGES)}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
