"""The page of a video in a real browser: screens, what axe-core says, without scripts, in a notebook."""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from html_reader import Reader
from pictures import read_picture
from video_pages import EVIL, FILE, FPS, FRAMES, SHOWN, STEPS, TIMES, explanation, first_shown
from videos import read_number


def test_segments_and_gaps_are_where_they_belong(tab, video_pages):
    tab.open(video_pages["all"])
    boxes = tab.run(
        "[...document.querySelectorAll('.segments li, svg.attention[data-side=\"0\"]')].map(e =>"
        "{ const b = e.getBoundingClientRect(); return [b.left, b.right, b.top, e.title || ''] })"
    )
    line, one, two = boxes
    width = line[1] - line[0]
    for box, (begin, end) in ((one, (1.0, 4.0)), (two, (3.5, 5.0))):
        assert ((box[0] - line[0]) / width, (box[1] - line[0]) / width) == pytest.approx(
            (begin / 9.6, end / 9.6), abs=1e-3
        )
    assert two[2] > one[2]  # they overlap, so they have a row each
    assert one[3] == f"{EVIL}, 1.00 s to 4.00 s, score 0.900"
    gap = tab.run(
        "(() => { const b = document.querySelector('.unread').getBoundingClientRect();"
        "return [b.left, b.right] })()"
    )
    assert (np.array(gap) - line[0]) / width == pytest.approx(np.array([6.0, 6.5]) / 9.6, abs=1e-3)
    assert "cannot be decoded" in tab.run("document.querySelector('.notice').textContent")


@pytest.mark.parametrize("name", ["one", "all", "none"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [(1280, 900), (360, 780)], ids=["desktop", "phone"])
def test_axe_finds_nothing_to_complain_of(tab, video_pages, name, dark, size):
    """Roles, names, contrast and order; also with the table open."""
    spec = find_spec("axe_core_python")
    if spec is None:
        pytest.skip("needs axe-core-python")
    tab.open(video_pages[name], size=size, dark=dark, phone=size[0] < 500)
    tab.run("document.querySelector('details').open = true")
    tab.run(Path(spec.origin).with_name("axe.min.js").read_text() + "; 0")
    found = tab.run(
        "axe.run().then(r => ({passes: r.passes.length, bad: r.violations.map(v =>"
        "[v.id, v.help, v.nodes.map(n => n.html.slice(0, 200) + n.failureSummary)])}))"
    )
    assert found["bad"] == []
    assert found["passes"] > 15


def test_on_a_phone_nothing_scrolls_sideways_and_the_picture_stays(tab, video_pages):
    for name in video_pages:
        tab.open(video_pages[name], size=(360, 780), phone=True)
        assert tab.run("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    tab.open(video_pages["one"], size=(360, 780), phone=True)
    tab.run("document.querySelector('svg.evidence').scrollIntoView({block: 'end'})")
    top, bottom, line = tab.run(
        "[document.getElementById('picture').getBoundingClientRect().top,"
        "document.getElementById('picture').getBoundingClientRect().bottom,"
        "document.querySelector('svg.attention').getBoundingClientRect().top]"
    )
    assert 0 <= top < bottom < line


@pytest.mark.parametrize("name", ["one", "all", "none"])
def test_without_scripts_it_shows_scores_still_pictures_and_a_table(tab, video_pages, name):
    tab.open(video_pages[name], scripts=False)
    assert "scripted" not in tab.run("document.documentElement.className")
    seen = tab.run("document.body.innerText")
    assert all(f"{score:.3f}" in seen for score in (0.4, 0.3, 0.13, 0.1, 0.05))
    assert tab.run("[...document.querySelectorAll('.live')].every(e => !e.offsetWidth)")
    assert tab.run("document.querySelectorAll('svg').length") == {"one": 2, "all": 4, "none": 0}[name]
    assert tab.run("document.getElementById('picture').naturalWidth") == 192
    rows = tab.run("document.querySelectorAll('tbody tr').length")
    assert rows == (25 if name == "all" else STEPS)
    if name == "one":
        found = explanation()
        weights, values = first_shown(found)
        cells = tab.run("[...document.querySelectorAll('tbody tr')[7].cells].map(c => c.textContent)")
        assert cells[:2] == ["28", "1.12 s"]
        assert float(cells[2].removesuffix(" %")) == pytest.approx(100 * weights[7], rel=6e-3)
        assert float(cells[3].replace("\N{MINUS SIGN}", "-")) == pytest.approx(values[1], abs=6e-4)


def test_the_page_is_whole_and_all_text_is_shown_as_it_is(video_pages):
    for name, page in video_pages.items():
        text = page.read_text(encoding="utf-8")
        reader = Reader(text)
        assert reader.open == []
        assert (reader.count["script"], reader.count["style"]) == (2, 1)
        assert all(reference.startswith("data:") for reference in reader.references)
        assert len(set(reader.ids)) == len(reader.ids)
        assert not re.search(r"https?://|@import|url\(", text)
        assert FILE in reader.texts
        assert EVIL in reader.texts  # the predicted class
        assert f"videos/{FILE}" in reader.texts
        if name == "all":
            assert f"python tools/predict.py {EVIL}" in reader.texts


def test_in_a_notebook_the_page_lives_in_its_frame(tab, video_pages, tmp_path):
    size = (1280, 1000)
    tab.open(video_pages["one"], size=(size[0], 960))  # as high as its frame will be
    x, y = tab.run(
        "(() => { const b = document.querySelector('.rail').getBoundingClientRect();"
        "return [b.left + b.width * 0.5, b.top + b.height / 2] })()"
    )
    left, top, right, bottom = tab.run(
        "(() => { const b = document.getElementById('picture').getBoundingClientRect();"
        "return [b.left, b.top, b.right, b.bottom] })()"
    )
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f'<body style="margin: 0">{explanation()._repr_html_()}</body>', encoding="utf-8")
    tab.open(notebook, size=size)

    def seen() -> int:
        tab.screenshot(tmp_path / "shot.png")
        shot = read_picture(tmp_path / "shot.png")[round(top) : round(bottom), round(left) : round(right)]
        return read_number(shot)

    def becomes(frame: int, act) -> None:
        """The frame may not be ready for what is done."""
        for _ in range(20):
            act()
            tab.run("new Promise(done => setTimeout(done, 200))")
            if seen() == frame:
                return
        pytest.fail(f"frame {seen()} is seen and not {frame}")

    nearest = int(np.abs(TIMES - 0.5 * FRAMES / FPS).argmin())
    becomes(SHOWN[nearest], lambda: tab.mouse(x, y, click=True))
    tab.press("ArrowRight")
    becomes(SHOWN[nearest + 1], lambda: None)
