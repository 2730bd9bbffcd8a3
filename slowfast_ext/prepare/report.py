"""What a data set looks like: a page to read and a picture."""

from collections import Counter
from pathlib import Path

from slowfast_ext.files import write_text
from slowfast_ext.prepare.lists import CLASS_COUNTS, FAILURES, PreparedDataset, class_counts
from slowfast_ext.prepare.picture import draw_report
from slowfast_ext.prepare.plan import SPLITS
from slowfast_ext.prepare.process import Outcome
from slowfast_ext.report.lengths import SPREAD, spread_row
from slowfast_ext.report.tables import Column, to_markdown

PAGE, PICTURE = "report.md", "report.png"
_CLASSES_SHOWN = 5
_ALL_CLASSES_SHOWN = 2 * _CLASSES_SHOWN + 10
_FAILURES_SHOWN = 20
_KINDS_SHOWN = 8


def write_report(result: PreparedDataset, out: Path, title: str) -> None:
    """Write report.md and report.png.

    Args:
        result: What to show.
        out: Folder.
        title: First line of the page.

    Raises:
        InputError: If a file cannot be written.
    """
    videos = listed_videos(result)
    parts = [f"# {title}\n", _splits(result)]
    if result.notes:
        parts.append("".join(f"- {note}\n" for note in result.notes))
    if videos:
        parts += [f"![Lengths of videos and videos of each class]({PICTURE})\n", _videos(videos)]
    if any(entry.segments for entry in result.plan.entries):
        parts.append(_segments(result))
    parts += [_classes(result), _failures(result)]
    write_text(out / PAGE, "\n".join(parts))
    draw_report([video.seconds for video in videos], class_counts(result), out / PICTURE)


def listed_videos(result: PreparedDataset) -> list[Outcome]:
    """Facts on every listed file, each file once."""
    paths = {entry.path: None for entries in result.listed.values() for entry in entries}
    return [result.outcomes[path] for path in paths]


def _splits(result: PreparedDataset) -> str:
    rows = []
    for split in SPLITS:
        entries = [entry for entry in result.plan.entries if entry.split == split]
        listed = result.listed[split]
        kinds = Counter(problem["outcome"] for problem in result.problems if problem["split"] == split)
        hours = sum(result.outcomes[entry.path].seconds for entry in listed) / 3600
        row = {"split": split, "entries": len(entries), "listed": len(listed), "hours": hours}
        row["classes"] = len({entry.label for entry in listed})
        rows.append(
            row
            | {kind: kinds[kind] for kind in ("missing", "failed", "incomplete", "repeated", "contradictory")}
        )
    columns = [
        Column("split", "split"),
        Column("entries", "in the annotations"),
        Column("listed", "listed"),
        Column("missing", "missing"),
        Column("failed", "failed"),
        Column("incomplete", "incomplete, listed"),
        Column("repeated", "repeated"),
        Column("contradictory", "under several classes"),
        Column("classes", "classes"),
        Column("hours", "hours", ".2f"),
    ]
    return to_markdown([row for row in rows if row["entries"]], columns)


def _videos(videos: list[Outcome]) -> str:
    lengths = [spread_row("length, s", [video.seconds for video in videos])]
    lengths.append(spread_row("frames", [video.num_frames for video in videos]))
    lengths.append(spread_row("frames per second", [video.fps for video in videos]))
    columns = [Column("of", f"of {len(videos)} videos"), *(Column(key, key, ".5g") for key in SPREAD)]
    rates = _common([f"{video.fps:.4g}" for video in videos], "frames per second")
    sizes = _common([f"{video.width} x {video.height}" for video in videos], "width x height")
    return f"## Videos\n\n{to_markdown(lengths, columns)}\n{rates}\n{sizes}"


def _segments(result: PreparedDataset) -> str:
    rows = []
    for split, entries in result.listed.items():
        lengths = [segment.end - segment.begin for entry in entries for segment in entry.segments]
        if lengths:
            mean = len(lengths) / len(entries)
            rows.append(spread_row(split, lengths) | {"segments": len(lengths), "a video": mean})
    columns = [
        Column("of", "split"),
        Column("segments", "segments"),
        Column("a video", "in a video, mean", ".3g"),
        *(Column(key, f"{key}, s", ".4g") for key in SPREAD),
    ]
    return f"## Segments\n\n{to_markdown(rows, columns)}"


def _common(words: list[str], title: str) -> str:
    """A table of the most frequent values and how many others there are."""
    counts = Counter(words).most_common()
    rows: list[dict[str, str | int]] = [
        {"value": word, "videos": count} for word, count in counts[:_KINDS_SHOWN]
    ]
    rest = counts[_KINDS_SHOWN:]
    if rest:
        rows.append({"value": f"{len(rest)} others", "videos": sum(count for _, count in rest)})
    return to_markdown(rows, [Column("value", title), Column("videos", "videos")])


def _classes(result: PreparedDataset) -> str:
    counts = sorted(
        class_counts(result), key=lambda row: (-sum(row[split] for split in SPLITS), row["label"])
    )
    text = f"## Classes\n\n{len(counts)} classes; all of them are in {CLASS_COUNTS}.\n"
    empty = sum(not any(row[split] for split in SPLITS) for row in counts)
    if empty:
        text += f"{empty} classes have no videos.\n"
    shown = counts
    if len(counts) > _ALL_CLASSES_SHOWN:
        text += f"The {_CLASSES_SHOWN} largest and the {_CLASSES_SHOWN} smallest:\n"
        shown = [*counts[:_CLASSES_SHOWN], *counts[-_CLASSES_SHOWN:]]
    columns = [Column("label", "id"), Column("class", "class"), *(Column(split, split) for split in SPLITS)]
    return f"{text}\n{to_markdown(shown, columns)}"


def _failures(result: PreparedDataset) -> str:
    if not result.problems:
        return "## Problems\n\nNone: every video is there and can be read.\n"
    kinds = Counter(problem["outcome"] for problem in result.problems)
    text = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    # What can be repaired comes before what was never there.
    order = ("failed", "incomplete", "contradictory", "repeated", "missing")
    shown = sorted(result.problems, key=lambda problem: order.index(problem["outcome"]))[:_FAILURES_SHOWN]
    columns = [Column(key, key) for key in ("outcome", "split", "class", "path", "reason")]
    which = "" if len(shown) == len(result.problems) else f" The first {len(shown)}:"
    return f"## Problems\n\n{text}; all of them are in {FAILURES}.{which}\n\n{to_markdown(shown, columns)}"
