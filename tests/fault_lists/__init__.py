"""Faults that people really make, by area: what `python tests/faults.py` puts into the code one at a time.

One module for each area, with a list FAULTS.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AREAS = (
    "vtn",
    "data",
    "engine",
    "host",
    "saving",
    "report",
    "prepare",
    "config",
    "packing",
    "flops",
    "inflate",
    "compare",
    "augment",
    "launch",
    "predict",
    "features",
    "jobs",
    "localization",
    "programs",
)


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        name: What is wrong with it, in a few words; no other fault has the same name.
        file: From the root of the project.
        text: Where it goes: occurs exactly once in the file. One line or several, from any column.
        faulty: What takes the place of `text`.
        tests: What notices it: arguments of pytest, as a shell would split them. As few as do.
        main: These tests need PySlowFast main, in SLOWFAST_HOME.
        slow: These tests are marked `slow`.
    """

    name: str
    file: str
    text: str
    faulty: str
    tests: str
    main: bool = False
    slow: bool = False

    def put_into(self, source: str) -> str:
        """The file's text with the fault in it.

        Raises:
            ValueError: If the entry no longer fits the code.
        """
        count = source.count(self.text)
        if count != 1:
            raise ValueError(
                f"stale entry {self.name!r}: its text occurs {count} times in {self.file}, not once"
            )
        source = source.replace(self.text, self.faulty)
        if self.file.endswith(".py"):
            compile(source, self.file, "exec")
        return source


def load_faults() -> dict[str, list[Fault]]:
    """The faults of each area."""
    return {area: importlib.import_module(f"{__name__}.{area}").FAULTS for area in AREAS}
