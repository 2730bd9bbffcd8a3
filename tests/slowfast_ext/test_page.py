"""The page of results, read by a parser and shown by a real browser."""

import re

import numpy as np
import pytest
from browser import ask, browse
from html_reader import Reader
from pictures import pixels_of, read_picture

from slowfast_ext.report.page import Picture, Section, write_page
from slowfast_ext.report.scatter import Point, plot_scatter
from slowfast_ext.report.tables import Column
from vtn.errors import InputError

EVIL = "</td><script>alert('$')</script>&amp;\""
COLUMNS = (
    Column("model", "model"),
    Column("protocol", "inference"),
    Column("top1", "top-1, %", ".1f", "Accuracy"),
    Column("top5", "top-5, %", ".1f", "Accuracy"),
    Column("mean_class", "mean of classes, %", ".1f", "Accuracy"),
    *(Column(f"cost_{i}", f"cost of kind {i}", ".2f", "Cost") for i in range(9)),
    Column("seconds", "seconds for a whole test", ".0f", "Time"),
)
COSTS = {f"cost_{i}": 1.5 * i for i in range(9)}


def row(model, top1, mean_class, **others):
    named = {"model": model, "protocol": "clip", "status": "ok", "top1": top1, "top5": None}
    return named | COSTS | {"mean_class": mean_class, "seconds": 30} | others


# As text, 9.5 would come after 10.25 and 100; 1.04 and 1.01 are both shown as 1.0.
ROWS = [
    row("Ten", 10.25, 3.0),
    row("none", None, float("nan")),
    {"model": "lost", "protocol": "clip", "status": "failed", "reason": f"no room {EVIL}", "top1": None},
    row("Hundred", 100.0, 1.04),
    row(f"nine {EVIL}", 9.5, 1.01),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    picture = folder / "scatter.png"
    plot_scatter([Point("VTN", "clip", 4.0, 90.0)], picture)
    write_page(
        folder / "index.html",
        title=f"Four models {EVIL}",
        facts={"command": f"python {EVIL}", "machine": "two CPUs", "odd name": "videos/\udcff.mp4"},
        columns=COLUMNS,
        rows=ROWS,
        notes=[f"A note {EVIL}"],
        sections=[
            Section("Pictures", f"Text {EVIL}", pictures=[Picture(picture, f"Caption {EVIL}")]),
            Section("Ratios", columns=COLUMNS[:3], rows=[row("a", 1.0, 1.0)], notes=["The end."]),
        ],
    )
    return folder / "index.html"


def test_the_page_is_whole_and_refers_to_nothing_outside(page):
    text = page.read_text(encoding="utf-8")
    reader = Reader(text)
    assert reader.open == []
    assert (reader.count["script"], reader.count["style"], reader.count["img"]) == (1, 1, 1)
    inside = [name for name in reader.references if name.startswith("#")]
    assert [name[1:] for name in inside] == reader.ids
    assert len(inside) == 4
    assert all(name.startswith(("#", "data:")) for name in reader.references)
    assert not re.search(r"https?://|@import|url\(", text)


def test_text_is_shown_as_it_is(page):
    """Title (twice), model, reason, note, fact, text and caption."""
    reader = Reader(page.read_text(encoding="utf-8"))
    shown = [text for text in reader.texts if EVIL in text]
    assert [text.removesuffix(EVIL) for text in shown] == [
        *("Four models ", "Four models ", "failed: no room ", "nine ", "A note ", "Text ", "Caption "),
        "python ",
    ]
    assert reader.alts == [f"Caption {EVIL}"]
    assert "videos/?.mp4" in reader.texts


def test_columns_and_cells(page):
    text = page.read_text(encoding="utf-8")
    assert "top-5" not in text  # no row has it
    assert 'data-value="10.25">10.2</td>' in text  # all digits to sort by, those of the format to read
    assert text.count('colspan="12"') == 1  # the reason goes across all but model and protocol
    (accuracy, cost, time) = re.findall(r'class="group starts"[^>]*colspan="(\d+)"', text)[:3]
    assert (accuracy, cost, time) == ("2", "9", "1")


def test_a_page_of_little(tmp_path):
    """No facts, no sections, one row that failed in a table without groups."""
    failed = {"model": "VTN", "status": "failed", "reason": "no checkpoint"}
    columns = (Column("model", "model"), Column("top1", "top-1"))
    write_page(tmp_path / "a.html", title="a", facts={}, columns=columns, rows=[failed])
    write_page(tmp_path / "b.html", title="b", facts={}, columns=columns, rows=[])
    for name in ("a.html", "b.html"):
        assert Reader((tmp_path / name).read_text()).open == []
    assert "failed: no checkpoint" in (tmp_path / "a.html").read_text()


def test_pictures_that_cannot_be_shown(tmp_path):
    def write(picture):
        sections = [Section("a", pictures=[Picture(picture, "a")])]
        write_page(tmp_path / "a.html", title="a", facts={}, columns=COLUMNS, rows=ROWS, sections=sections)

    with pytest.raises(InputError, match=r"cannot read the picture .*gone\.png: No such file"):
        write(tmp_path / "gone.png")
    (tmp_path / "b.png").write_text("<svg>")
    with pytest.raises(InputError, match=r"the picture .*b\.png is no PNG file"):
        write(tmp_path / "b.png")
    assert not (tmp_path / "a.html").exists()


def test_the_page_as_it_is_runs_without_a_complaint(page, tmp_path):
    """Its script runs under its own policy, and nothing is on the console."""
    document, console = browse(page, tmp_path / "profile", "--dump-dom")
    assert console == []
    assert (
        document.count("<button") == 14 + 4 + 3
    )  # columns, all and three groups, columns of the second table


_SCRIPT = """
const rows = () => [...document.querySelector("tbody").rows];
const models = () => rows().map(row => row.cells[0].textContent.slice(0, 4).trim());
const heading = name => [...document.querySelectorAll("thead th")].find(th => th.textContent === name);
const press = name => { heading(name).querySelector("button").click(); return models(); };
const group = name => {
  [...document.querySelectorAll(".choice button")].find(button => button.textContent === name).click();
  const seen = [...document.querySelector("thead").querySelectorAll("th[data-column]")];
  const names = seen.filter(th => th.offsetWidth).map(th => th.textContent);
  return [names, document.querySelector(".across").colSpan];
};
const box = document.querySelector(".wide");
const found = {
  width: [innerWidth, document.documentElement.scrollWidth, document.body.scrollWidth],
  overflows: box.scrollWidth > box.clientWidth,
  first: models(),
  top1: press("top-1, %"),
  sorted: heading("top-1, %").getAttribute("aria-sort"),
  again: press("top-1, %"),
  resorted: heading("top-1, %").getAttribute("aria-sort"),
  mean: press("mean of classes, %"),
  marked: document.querySelectorAll("[aria-sort]").length,
  model: press("model"),
  focus: (heading("model").querySelector("button").focus(), document.activeElement.textContent),
  accuracy: group("Accuracy"),
  time: group("Time"),
  all: group("All")[1],
  paper: getComputedStyle(document.body).backgroundColor,
  asked: performance.getEntriesByType("resource").map(entry => entry.name.slice(0, 5)),
};
box.scrollLeft = 300;
const cell = document.querySelector("tbody th").getBoundingClientRect();
found.sticks = [Math.round(cell.left - box.getBoundingClientRect().left), box.scrollLeft];
console.error("the console is read");
return found;
"""


@pytest.fixture(scope="module")
def on_a_phone(page, tmp_path_factory):
    """What a script finds on a phone's screen that prefers dark colours."""
    dark = "--blink-settings=preferredColorScheme=0"
    return ask(page, _SCRIPT, tmp_path_factory.mktemp("phone"), dark, size=(390, 844))


def test_a_click_on_a_heading_sorts_the_table(on_a_phone):
    """Numbers as numbers, blanks and failed rows last both ways, in the order they had."""
    found, _ = on_a_phone
    assert found["first"] == ["Ten", "none", "lost", "Hund", "nine"]
    assert found["top1"] == ["nine", "Ten", "Hund", "none", "lost"]
    assert found["again"] == ["Hund", "Ten", "nine", "none", "lost"]
    assert (found["sorted"], found["resorted"]) == ("ascending", "descending")
    assert found["mean"] == ["nine", "Hund", "Ten", "none", "lost"]
    assert found["marked"] == 1
    assert found["model"] == ["Hund", "lost", "nine", "none", "Ten"]
    assert found["focus"] == "model"  # a button, so the keyboard reaches it


def test_one_group_of_columns_can_be_seen_alone(on_a_phone):
    found, _ = on_a_phone
    assert found["accuracy"] == [["model", "inference", "top-1, %", "mean of classes, %"], 2]
    assert found["time"] == [["model", "inference", "seconds for a whole test"], 1]
    assert found["all"] == 12


def test_on_a_phone_the_table_scrolls_and_the_page_does_not(on_a_phone):
    found, _ = on_a_phone
    assert found["width"] == [390, 390, 390]
    assert found["overflows"]
    left, scrolled = found["sticks"]
    assert (left <= 2, scrolled) == (True, 300)


def test_nothing_is_requested_and_the_console_has_no_error(on_a_phone):
    found, console = on_a_phone
    assert set(found["asked"]) <= {"data:"}
    assert console == ["the console is read"]


def test_light_and_dark(on_a_phone, page, tmp_path):
    found, _ = on_a_phone
    assert max(map(int, re.findall(r"\d+", found["paper"]))) < 40
    browse(page, tmp_path / "profile", f"--screenshot={tmp_path / 'light.png'}", size=(390, 844))
    picture = read_picture(tmp_path / "light.png")
    assert picture.shape == (844, 390, 3)
    assert pixels_of(picture, "#ffffff").mean() > 0.5
    assert np.argwhere(pixels_of(picture, "#1d2128")).size > 500  # its text
