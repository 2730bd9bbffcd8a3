"""The page of one video: its frames, where a model looked, what is lost without each second, its scores."""

import base64
from collections.abc import Iterator, Mapping, Sequence

from slowfast_ext.report.evidence_look import EVIDENCE_STYLE
from slowfast_ext.report.evidence_parts import (
    Film,
    Side,
    bar_drawing,
    data_of,
    line_drawing,
    percent_in_words,
    percent_of,
    rows_of,
    signed_in_words,
    ticks_of,
    time_in_words,
)
from slowfast_ext.report.evidence_script import EVIDENCE_SCRIPT
from slowfast_ext.report.html import as_text, facts_list, scrolled, whole_page

_STRIP = 10  # small pictures above the lines


def evidence_page(
    film: Film,
    sides: Sequence[Side],
    *,
    summary: str,
    missing: str = "",
    notes: Sequence[str] = (),
    facts: Mapping[str, str],
) -> str:
    """One self-contained HTML document.

    Arrow keys and the mouse move one marker through all of it. Without JavaScript it shows its scores, still
    pictures and a table of all numbers. All text is shown as it is, whatever it holds.

    Args:
        film: The video.
        sides: One model, or two to compare.
        summary: A sentence on the video.
        missing: What of the video could not be read, or nothing.
        notes: Sentences that help to read the page.
        facts: How it came about.
    """
    start = _start(film, sides)
    notice = f'<p class="notice" role="note">{as_text(missing)}</p>\n' if missing else ""
    reading = "".join(f"<li>{as_text(note)}</li>" for note in notes)
    body = (
        f'<header><p class="over">What the model saw in</p><h1>{as_text(film.title)}</h1>'
        f'<p class="summary">{_verdict(sides)} {as_text(summary)}</p></header>\n<main>{notice}'
        f'<div class="viewer{" pair" * (len(sides) == 2)}">'
        f"{_picture(film, start)}{_all_scores(sides)}{_now(film, sides, start)}"
        f"{_timeline(film, sides, start)}</div>\n"
        f'<div class="about"><section><h2>How to read it</h2><ul class="notes">{reading}</ul></section>'
        f"<section><h2>How it was made</h2>{facts_list(facts)}</section></div>\n"
        f"{_numbers_table(film, sides)}</main>\n"
        f'<script type="application/json" id="numbers">{data_of(film, sides, start)}</script>\n'
    )
    title = f"{film.title}: what the model saw"
    return whole_page(title, body, style=EVIDENCE_STYLE, script=EVIDENCE_SCRIPT)


def _start(film: Film, sides: Sequence[Side]) -> int:
    """The moment that is shown first: that of the most attention."""
    return 0 if sides[0].attention is None else int(sides[0].weights.argmax())


def _marked(sides: Sequence[Side]) -> list[tuple[str, Side]]:
    """Each with the letter that tells it from the other, after a space; nothing where there is one."""
    return [("", sides[0])] if len(sides) == 1 else list(zip((" A", " B"), sides, strict=True))


def _verdict(sides: Sequence[Side]) -> str:
    """The predicted class of each."""
    parts = []
    for mark, side in _marked(sides):
        name, score = side.scores[0]
        parts.append(f"{mark.strip()}{': ' * bool(mark)}<strong>{as_text(name)}</strong>, score {score:.3f}.")
    return " ".join(parts)


def _source(picture: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"


def _picture(film: Film, start: int) -> str:
    alt = f"Frame {film.frames[start]} of the video, at {time_in_words(film.times[start])}"
    picture = f'<img id="picture" alt="{alt}" src="{_source(film.pictures[start])}">'
    return f'<figure class="frame">{picture}</figure>'


def _all_scores(sides: Sequence[Side]) -> str:
    lists = "".join(f"<div>{_model(mark, side)}{_scores(side)}</div>" for mark, side in _marked(sides))
    return f'<section class="all-scores"><h2>Scores</h2>{lists}</section>'


def _model(mark: str, side: Side) -> str:
    return f'<h3 class="model"><b>{mark.strip()}</b> {as_text(side.model)}</h3>' if mark else ""


def _scores(side: Side) -> str:
    rows = "".join(
        f'<li><span class="label">{as_text(name)}</span><span class="value">{score:.3f}</span>'
        f'<span class="bar" style="--part: {100 * score:.2f}%"></span></li>'
        for name, score in side.scores
    )
    return f'<ol class="scores">{rows}</ol>'


def _now(film: Film, sides: Sequence[Side], start: int) -> str:
    """Names and values that the script changes as the marker moves."""
    rows = [
        ("Frame", "frame", str(film.frames[start])),
        ("Time", "time", time_in_words(film.times[start])),
    ]
    for number, (mark, side) in enumerate(_marked(sides)):
        if side.attention is not None:
            rows.append((f"Attention{mark}", f"weight-{number}", percent_in_words(side.weights[start])))
        if side.evidence is not None:
            value = side.evidence[0, film.groups[start]]
            rows.append((f"Evidence{mark}", f"value-{number}", signed_in_words(value)))
    pairs = "".join(f'<div><dt>{title}</dt><dd id="{key}">{value}</dd></div>' for title, key, value in rows)
    return f'<section class="moment"><h2>At this moment</h2><dl class="now">{pairs}</dl></section>'


def _timeline(film: Film, sides: Sequence[Side], start: int) -> str:
    at = percent_of(film, film.times[start])
    told = f"Frame {film.frames[start]}, {time_in_words(film.times[start])}"
    last = len(film.frames) - 1
    marker = (
        '<div id="marker" class="live" role="slider" tabindex="0" aria-label="Moment of the video" '
        f'aria-valuemin="0" aria-valuemax="{last}" aria-valuenow="{start}" aria-valuetext="{told}"></div>'
    )
    top = max(
        float(values.max())
        for values in [film.shares, *(side.weights for side in sides if side.attention is not None)]
    )
    lanes = "".join(
        _lanes(film, side, number, mark, top) for number, (mark, side) in enumerate(_marked(sides))
    )
    hint = "Move over the pictures and lines, or press the keys ← and →: one marker shows the moment."
    return (
        f'<section id="timeline" style="--at: {at}"><h2>Over time</h2><div class="hint live"><p>{hint}</p>'
        '<button id="play" type="button">Play</button></div>'
        f'<div class="plot strip" aria-hidden="true">{"".join(_strip(film))}</div>'
        f'<div class="plot rail">{marker}</div>{lanes}{_segments(film)}{_axis(film)}</section>\n'
    )


def _strip(film: Film) -> Iterator[str]:
    """Equal parts of the time, each with the picture that is shown in its middle."""
    for part in range(_STRIP):
        middle = (part + 0.5) / _STRIP * film.seconds
        number = max(sum(time <= middle for time in film.times) - 1, 0)
        yield f'<img alt="" src="{_source(film.pictures[number])}">'


def _unread(film: Film) -> str:
    return "".join(
        f'<span class="unread" style="left: {percent_of(film, begin)}; right: calc(100% - '
        f'{percent_of(film, end)})"></span>'
        for begin, end in film.unread
    )


def _lanes(film: Film, side: Side, number: int, mark: str, top: float) -> str:
    remark = f'<p class="remark">{as_text(side.remark)}</p>' if side.remark else ""
    gaps, lanes = _unread(film), ""
    if side.attention is not None:
        layers, heads = side.attention.shape[:2]
        choices = _select(
            f"layer-{number}",
            "Layer",
            f"Layer{mark}",
            [str(layer + 1) for layer in range(layers)],
            layers - 1,
        ) + _select(
            f"head-{number}", "Head", f"Head{mark}", ["mean", *(str(head + 1) for head in range(heads))], 0
        )
        drawing = line_drawing(film, side.weights, top, number)
        lanes += _lane(
            "Attention",
            "how much of its look goes to each frame. Dashed: an even share.",
            choices,
            f'<div class="plot">{gaps}{drawing}<span class="top" id="top-{number}">{percent_in_words(top)}'
            "</span></div>",
        )
    if side.evidence is not None:
        values = side.evidence[0]
        drawing = bar_drawing(film, values, side.classes[0], number)
        most, least = signed_in_words(max(values.max(), 0.0)), min(values.min(), 0.0)
        lanes += _lane(
            "Evidence",
            f'how much the score of <span id="class-name-{number}">{as_text(side.classes[0])}</span> falls '
            f"when {_stretch_in_words(film)} is left out. Below the line: it rises.",
            _select(f"class-{number}", "Class", f"Class{mark}", side.classes, 0),
            f'<div class="plot">{gaps}<span class="here" id="here-{number}"></span>{drawing}'
            f'<span class="top" id="most-{number}">{most}</span><span class="low" id="least-{number}">'
            f"{signed_in_words(least) if least < 0 else ''}</span></div>",
        )
    return _model(mark, side) + remark + lanes


def _stretch_in_words(film: Film) -> str:
    length = film.stretches[0][1] - film.stretches[0][0]
    return "this second" if length == 1 else f"this stretch of {length:g} s"


def _lane(title: str, meaning: str, choices: str, plot: str) -> str:
    return (
        f'<div class="lane"><div class="head"><p><strong>{title}:</strong> {meaning}</p>'
        f'<div class="choices live">{choices}</div></div>{plot}</div>'
    )


def _select(name: str, title: str, label: str, options: Sequence[str], chosen: int) -> str:
    rows = "".join(
        f'<option value="{number}"{" selected" * (number == chosen)}>{as_text(option)}</option>'
        for number, option in enumerate(options)
    )
    return f'<label>{title} <select id="{name}" aria-label="{as_text(label)}">{rows}</select></label>'


def _segments(film: Film) -> str:
    if not film.segments:
        return ""
    spans = [(begin, end) for begin, end, _, _ in film.segments]
    rows = rows_of(spans)
    bars = ""
    for (begin, end, name, score), row in zip(film.segments, rows, strict=True):
        where = f"left: {percent_of(film, begin)}; right: calc(100% - {percent_of(film, end)}); --row: {row}"
        told = f"{name}, {time_in_words(begin)} to {time_in_words(end)}, score {score:.3f}"
        short = f"{name} {score:.2f}"
        bars += (
            f'<li style="{where}" title="{as_text(told)}"><span aria-hidden="true">{as_text(short)}</span>'
            f'<span class="heard">{as_text(told)}</span></li>'
        )
    return (
        '<div class="lane"><div class="head"><p><strong>Segments:</strong> what happens, from when to when.'
        f'</p></div><ol class="plot segments" style="--rows: {max(rows) + 1}">{bars}</ol></div>'
    )


def _axis(film: Film) -> str:
    marks = "".join(
        f'<span style="left: {percent_of(film, tick)}">{_tick_in_words(tick)}</span>'
        for tick in ticks_of(film.seconds)
        if tick < 0.97 * film.seconds
    )
    return f'<div class="axis" aria-hidden="true">{marks}</div>'


def _tick_in_words(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else time_in_words(seconds, 0)


def _numbers_table(film: Film, sides: Sequence[Side]) -> str:
    """What the page shows first, in numbers."""
    titles = ["Frame", "Time"]
    for mark, side in _marked(sides):
        titles += [f"Attention{mark}"] if side.attention is not None else []
        titles += [f"Evidence{mark} for {side.classes[0]}"] if side.evidence is not None else []
    head = "".join(f'<th scope="col">{as_text(title)}</th>' for title in titles)
    rows = []
    for moment, (frame, time) in enumerate(zip(film.frames, film.times, strict=True)):
        cells = [time_in_words(time)]
        for side in sides:
            cells += [percent_in_words(side.weights[moment])] if side.attention is not None else []
            if side.evidence is not None:
                cells.append(signed_in_words(side.evidence[0, film.groups[moment]]))
        data = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f'<tr><th scope="row">{frame}</th>{data}</tr>\n')
    caption = "Attention is that of the last layer, the mean over its heads. Evidence is that of the stretch."
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    table = f"<table><caption>{caption}</caption>{body}</table>"
    return f"<details><summary>All moments as a table</summary>{scrolled(table, 'All moments')}</details>\n"
