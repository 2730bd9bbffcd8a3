"""The page at the end of a job: what became of its videos, how fast, by whom, and what is left."""

import json
import time

from slowfast_ext.files import write_text
from slowfast_ext.jobs.folder import COMMANDS
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.report_picture import draw_job
from slowfast_ext.jobs.summary import Contribution, JobSummary, Reasons
from slowfast_ext.jobs.work import DONE, FAILED, REPAIRED, VideoJob
from slowfast_ext.report.lengths import SPREAD, spread_row
from slowfast_ext.report.tables import Column, to_markdown
from slowfast_ext.report.words import without_controls

_REASONS, _MACHINES, _PROCESSES = 20, 20, 16
_FEW = 5  # processes of each end, where there are many


def write_job_report(job: VideoJob, plan: JobPlan, summary: JobSummary, again: str) -> None:
    """Write the page and its picture beside the manifest.

    Args:
        job: The job, whose output is written.
        plan: Its videos.
        summary: Of their records.
        again: What to type to try again what failed.

    Raises:
        InputError: If a file cannot be written.
    """
    picture = job.report.with_suffix(".png")
    title = f"Report of {job.settings.get('command', 'a job')}: {plan.num_videos} videos"
    parts = [f"# {title}\n", _overview(job, plan, summary), f"![{title}]({picture.name})\n"]
    parts += [_spent(summary), _reasons("Failures", summary.failures), _reasons("Repairs", summary.repairs)]
    parts += [_left(job, summary, again), _machines(summary), _processes(summary), _slowest(summary)]
    parts += [_ends(summary), _settings(job)]
    draw_job(summary, picture)
    write_text(job.report, "\n".join(part for part in parts if part))


def _overview(job: VideoJob, plan: JobPlan, summary: JobSummary) -> str:
    whole, at_work, pauses = summary.whole(), summary.seconds_at_work(summary.whole()), summary.pauses()
    commands, states = len(list((job.folder / COMMANDS).iterdir())), summary.states
    again = f", which {plan.num_rows} rows name" if plan.num_rows > plan.num_videos else ""
    rows = {
        "videos": f"{plan.num_videos}" + again,
        "done": f"{states[DONE]}",
        "repaired": f"{states[REPAIRED]}",
        "failed": f"{states[FAILED]}",
        "hours of video": f"{summary.seconds.sum / 3600:.2f}" if summary.seconds.count else "not known",
        "began": _utc(whole.begin),
        "ended": _utc(whole.end),
        "at work": _span(at_work) + (f"; left out: {len(pauses)} times when nobody was" if pauses else ""),
        "videos/s": f"{whole.videos / at_work:.3g}",
    }
    if summary.seconds.count:
        rows["hours of video in an hour"] = f"{summary.seconds.sum / at_work:.3g}"
    rows |= {
        "commands": f"{commands}",
        "machines": f"{len(summary.machines())}",
        "processes that did videos": f"{whole.processes}",
        "processes that ended at a video": f"{summary.num_ends}",
        "model": f"`{job.model}`",
        "output": f"{job.output.path.name}; of each video {job.manifest.name}",
    }
    table = [{"what": what, "value": value} for what, value in rows.items()]
    return to_markdown(table, [Column("what", ""), Column("value", "")])


def _spent(summary: JobSummary) -> str:
    rows = []
    for name, total, values in (
        ("length, s", summary.seconds, [spent.seconds for spent in summary.sample]),
        ("time that a video took, s", summary.took, [spent.took for spent in summary.sample]),
    ):
        if values := [value for value in values if value > 0]:
            exact = {"least": total.least, "mean": total.sum / total.count, "most": total.most}
            rows.append(spread_row(name, values) | exact)
    if not rows:
        return ""
    columns = [Column("of", "of a video"), *(Column(key, key, ".4g") for key in SPREAD)]
    count = len(summary.sample)
    sampled = count < sum(summary.states.values()) - summary.states[FAILED]
    of = f"\n5 %, median and 95 % are of {count} videos by chance.\n" if sampled else ""
    return f"## Lengths and times\n\n{to_markdown(rows, columns)}{of}"


def _reasons(title: str, reasons: Reasons) -> str:
    told = reasons.told()
    if not told:
        return f"## {title}\n\nNone.\n"
    rows = [
        {"videos": reason.videos, "why": without_controls(why), "such as": _named(reason.examples)}
        for why, reason in told[:_REASONS]
    ]
    if rest := told[_REASONS:]:
        rows.append({"videos": sum(reason.videos for _, reason in rest), "why": f"{len(rest)} other reasons"})
    return f"## {title}\n\n{to_markdown(rows, [Column(key, key) for key in rows[0]])}"


def _named(names: list[str]) -> str:
    return ", ".join(map(without_controls, names))


def _left(job: VideoJob, summary: JobSummary, again: str) -> str:
    failed = summary.states[FAILED]
    if not failed:
        return "## What is left\n\nNothing: no video failed.\n"
    told = f"## What is left\n\n{failed} videos that failed; why is in {job.manifest.name}."
    return f"{told} To try them again:\n\n```sh\n{again}\n```\n" if again else f"{told}\n"


def _machines(summary: JobSummary) -> str:
    machines = summary.machines()
    rows = [_row(summary, "machine", name, share) for name, share in list(machines.items())[:_MACHINES]]
    if rest := list(machines.values())[_MACHINES:]:
        others = Contribution(processes=0)
        for share in rest:
            others.add(share)
        rows.append(_row(summary, "machine", f"{len(rest)} others", others))
    return f"## Machines\n\n{to_markdown(rows, _columns('machine'))}"


def _processes(summary: JobSummary) -> str:
    """All of them, or those that come off worst and best, by the time that a video took them."""
    shares = sorted(summary.processes.items(), key=lambda item: (-item[1].busy / item[1].videos, item[0]))
    told = ""
    if len(shares) > _PROCESSES:
        told = f"The {_FEW} slowest and the {_FEW} quickest of {len(shares)}:\n\n"
        shares = [*shares[:_FEW], *shares[-_FEW:]]
    rows = [_row(summary, "process", name, share) for name, share in shares]
    return f"## Processes\n\n{told}{to_markdown(rows, _columns('process'))}"


def _row(
    summary: JobSummary, kind: str, name: str, share: Contribution
) -> dict[str, str | int | float | None]:
    return {
        kind: name,
        "processes": share.processes,
        "videos": share.videos,
        "failed": share.failed,
        "rate": share.videos / summary.seconds_at_work(share),
        "busy": share.busy / 3600 if share.busy else None,
        "took": share.busy / share.videos if share.busy else None,
        "begin": _utc(share.begin),
        "end": _utc(share.end),
    }


def _columns(kind: str) -> list[Column]:
    return [
        Column(kind, kind),
        *([Column("processes", "processes")] if kind == "machine" else []),
        Column("videos", "videos"),
        Column("failed", "failed"),
        Column("rate", "videos/s", ".3g"),
        Column("busy", "hours at videos", ".3f"),
        Column("took", "s for a video, mean", ".3g"),
        Column("begin", "first begun"),
        Column("end", "last done"),
    ]


def _slowest(summary: JobSummary) -> str:
    rows = [{"took": took, "video": without_controls(path)} for took, path in summary.slowest()]
    if not rows:
        return ""
    return f"## Slowest\n\n{to_markdown(rows, [Column('took', 's', '.4g'), Column('video', 'video')])}"


def _ends(summary: JobSummary) -> str:
    if not summary.num_ends:
        return ""
    rows = [{"video": without_controls(path), "why": why} for path, why in summary.ends]
    more = f" The first {len(rows)}:" if summary.num_ends > len(rows) else ""
    told = f"{summary.num_ends}: a video that ends two has failed.{more}"
    return (
        f"## Processes that ended at a video\n\n{told}\n\n"
        f"{to_markdown(rows, [Column('video', 'video'), Column('why', 'why')])}"
    )


def _settings(job: VideoJob) -> str:
    said = json.dumps(job.settings, indent=1, ensure_ascii=False)
    return f"## Settings\n\n```json\n{said}\n```\n"


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


def _span(seconds: float) -> str:
    """Seconds, or h:mm:ss."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"
