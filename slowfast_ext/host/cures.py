"""What is broken in a PySlowFast on this machine, and the smallest remedy for it, in memory only.

A `Cure` looks whether its cause is there; where it is not (another version, a package that is installed),
nothing is done. `apply_cures` keeps a record, from which the log line and `python -m slowfast_ext.doctor` are
written. What VTN adds to a PySlowFast is no cure, and is in `slowfast_ext.plugin`.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cure:
    """One remedy.

    Attributes:
        name: Module attribute that is replaced or added.
        cause: What goes wrong without it, and with which version.
        apply: Does it.
        present: Whether the cause is there; asked once, before `apply`.
    """

    name: str
    cause: str
    apply: Callable[[], None]
    present: Callable[[], bool]

    @property
    def label(self) -> str:
        """The name for a line of text; a name in PySlowFast is cut to its last part."""
        return self.name.rsplit(".", 1)[-1] if self.name.startswith("slowfast.") else self.name


_record: dict[str, tuple[Cure, bool]] = {}


def cure(
    cures: list[Cure], name: str, cause: str, *, present: Callable[[], bool]
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Append the decorated function to `cures`."""

    def keep(apply: Callable[[], None]) -> Callable[[], None]:
        cures.append(Cure(name, cause, apply, present))
        return apply

    return keep


def apply_cures(cures: list[Cure]) -> None:
    """Apply each cure whose cause is present. A cure that was looked at before is left alone."""
    for entry in cures:
        if entry.name not in _record:
            present = entry.present()
            if present:
                entry.apply()
            _record[entry.name] = entry, present


def applied_cures() -> list[Cure]:
    """Cures that were needed in this process, in the order of application."""
    return [entry for entry, present in _record.values() if present]


def needless_cures() -> list[Cure]:
    """Cures whose cause was looked for and not found."""
    return [entry for entry, present in _record.values() if not present]


def fails(action: Callable[[], Any]) -> bool:
    """Whether `action` raises. This is how to look for what is broken: try it on something small."""
    try:
        action()
    except Exception:  # whatever a broken or changed function may raise
        return True
    return False


def mentions(function: Callable, *words: str) -> bool:
    """Whether the source of a function has one of these words; for what cannot be tried without harm."""
    source = inspect.getsource(function)
    return any(word in source for word in words)
