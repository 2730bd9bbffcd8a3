"""What the tests of plans share."""

from pathlib import Path

from slowfast_ext.prepare.find import VideoIndex
from slowfast_ext.prepare.plan import Plan


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def listed(plan: Plan, index: VideoIndex) -> list[tuple[str, str, str | None]]:
    """(split, class, path within the folder) of every entry."""
    folder = str(index.folder) + "/"
    return [
        (entry.split, plan.classes[entry.label], entry.path and entry.path.removeprefix(folder))
        for entry in plan.entries
    ]
