"""What is broken in a PySlowFast on this machine, and the smallest remedy for it, in memory only.

A `Cure` knows its cause and looks for it; where the cause is absent (another version, a package that is
installed, a GPU) it does nothing. `apply_cures` keeps a record, from which the log line and
`python -m slowfast_ext.doctor` are written.
"""

from collections.abc import Callable
from dataclasses import dataclass


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
    present: Callable[[], bool] = lambda: True

    @property
    def label(self) -> str:
        """The name for a line of text: of what is PySlowFast's own, only the last part."""
        return self.name.rsplit(".", 1)[-1] if self.name.startswith("slowfast.") else self.name


_record: dict[str, tuple[Cure, bool]] = {}


def cure(
    cures: list[Cure], name: str, cause: str, present: Callable[[], bool] = lambda: True
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Append the decorated function to `cures`."""

    def keep(apply: Callable[[], None]) -> Callable[[], None]:
        cures.append(Cure(name, cause, apply, present))
        return apply

    return keep


def apply_cures(cures: list[Cure]) -> None:
    """Apply those whose cause is present; one that was asked before is not asked again."""
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
