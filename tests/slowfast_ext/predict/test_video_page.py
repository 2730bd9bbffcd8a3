"""The page of a video in a real browser: keys, mouse, selections, screens, and what axe-core says of it."""

import json
import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from browser_tab import new_tab
from html_reader import Reader
from pictures import read_picture
from videos import paint, read_number

from slowfast_ext.predict import Explanation, Prediction
from slowfast_ext.predict.explain import Evidence

EVIL = "</script><script>alert('&')</script>"
FILE = "<b title=x>&amp;'\".mp4"
NAMES = ("jump", EVIL, "sit", "run", "wave", "fall & rise")
FRAMES, FPS = 240, 25.0
SHOWN = np.array([*range(0, 160, 4), *range(160, 240, 8)])  # 50 frames; the second half is sparser
TIMES, STEPS = SHOWN / FPS, 50
LAYERS, HEADS = 3, 4


def explanation(seed=0, **changes) -> Explanation:
    """Random numbers for pictures that have their number painted on them."""
    rng = np.random.default_rng(seed)
    attention = rng.random((LAYERS, HEADS, STEPS)) ** 4
    attention /= attention.sum(axis=-1, keepdims=True) * 1.02
    groups = np.floor(TIMES).astype(int)
    stretches = np.array([[second, second + 1.0] for second in range(10)])
    mean = Evidence(attention, groups, stretches, rng.normal(size=(10, len(NAMES))) / 20)
    scores = np.array([0.05, 0.4, 0.1, 0.02, 0.13, 0.3])
    prediction = Prediction(f"videos/{FILE}", NAMES, scores, FRAMES, STEPS, FPS, 1)
    pictures = [cv2.imencode(".jpg", paint(int(frame), (192, 128)))[1].tobytes() for frame in SHOWN]
    given = {
        "prediction": prediction,
        "model": f"VTN of {EVIL}",
        "checkpoint": "run.pyth",
        "fingerprint": "0123456789abcdef",
        "frame_indices": SHOWN,
        "times": TIMES,
        "shares": np.full(STEPS, 1 / STEPS),
        "frames_mean": mean,
        "remark": "",
        "picture_frames": np.arange(STEPS),
        "pictures": tuple(pictures),
    }
    return Explanation(**(given | changes))


def full_of_all() -> str:
    """Two models, segments, a gap, thinned pictures."""
    found = explanation(
        segments=(
            SimpleNamespace(begin=1.0, end=4.0, label=1, score=0.9),
            SimpleNamespace(begin=3.5, end=5.0, label=0, score=0.4),
        ),
        unread=((6.0, 6.5),),
        picture_frames=np.arange(0, STEPS, 2),
    )
    found = replace(
        found,
        pictures=found.pictures[::2],
        prediction=replace(found.prediction, missing="9 of its 240 frames cannot be decoded"),
    )
    return found.page(beside=explanation(seed=1), command=f"python tools/predict.py {EVIL}")


def without_lines() -> str:
    return explanation(frames_mean=None, remark="There is no time line: SlowFast has none.").page()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def pages(folder) -> dict[str, Path]:
    found = {"one": explanation().page(), "all": full_of_all(), "none": without_lines()}
    for name, text in found.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in found}


@pytest.fixture(scope="module")
def tab(folder):
    with new_tab(folder / "profile") as found:
        yield found


@pytest.fixture(autouse=True)
def _no_complaint(tab):
    """Nothing is on the console after any test, and nothing was asked of the network."""
    tab.console.clear()
    yield
    assert tab.console == []
    asked = tab.run("performance.getEntriesByType('resource').map(e => e.name.slice(0, 5))")
    assert set(asked) <= {"data:"}


_STATE = """(() => {
  const text = id => document.getElementById(id)?.textContent;
  const marker = document.getElementById("marker"), box = marker.getBoundingClientRect();
  const rail = marker.parentElement.getBoundingClientRect();
  const line = document.querySelector("svg").parentElement;
  return { frame: text("frame"), time: text("time"), weight: text("weight-0"), value: text("value-0"),
    now: marker.getAttribute("aria-valuenow"), told: marker.getAttribute("aria-valuetext"),
    x: (box.left + box.width / 2 - rail.left) / rail.width, width: rail.width,
    line: parseFloat(getComputedStyle(line, "::after").left) / line.clientWidth,
    picture: document.getElementById("picture").src, alt: document.getElementById("picture").alt };
})()"""


def step_of(state: dict) -> int:
    return int(state["now"])


def check(state: dict, step: int, weights: np.ndarray, values: np.ndarray) -> None:
    """All that is shown is that of one moment."""
    numbers = json.loads(re.search(r'id="numbers">(.*?)</script>', check.text)[1])
    assert step_of(state) == step
    assert int(state["frame"]) == SHOWN[step] == numbers["frames"][step]
    assert state["time"] == f"{TIMES[step]:.2f} s"
    assert float(state["weight"].removesuffix(" %")) == pytest.approx(100 * weights[step], rel=6e-3)
    shown = float(state["value"].replace("\N{MINUS SIGN}", "-"))
    assert shown == pytest.approx(values[int(TIMES[step])], abs=6e-4)
    assert state["x"] == pytest.approx(TIMES[step] / (FRAMES / FPS), abs=0.6 / state["width"])
    assert state["line"] == pytest.approx(state["x"], abs=1.6 / state["width"])
    assert state["picture"] == f"data:image/jpeg;base64,{numbers['pictures'][step]}"
    assert state["told"].startswith(f"Frame {SHOWN[step]}, {TIMES[step]:.2f} s, attention ")
    assert state["alt"] == f"Frame {SHOWN[step]} of the video, at {TIMES[step]:.2f} s"


def first_shown(found: Explanation) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the last layer, the mean over its heads, and evidence of the best class."""
    return found.attention[-1].mean(axis=0), found.evidence[:, 1]


def test_the_right_arrow_goes_through_all_moments_and_all_agree_at_each(tab, pages, folder):
    """Keys are pressed as by a person; at each moment the picture on the screen is read."""
    tab.open(pages["one"])
    check.text = pages["one"].read_text()
    weights, values = first_shown(explanation())
    assert step_of(tab.run(_STATE)) == weights.argmax()
    tab.run("document.getElementById('marker').focus()")
    tab.press("Home")
    for step in range(STEPS):
        check(tab.run(_STATE), step, weights, values)
        assert painted_number(tab, folder) == SHOWN[step]
        tab.press("ArrowRight")
    check(tab.run(_STATE), STEPS - 1, weights, values)  # there it ends


def painted_number(tab, folder) -> int:
    """The number in the picture that is seen."""
    box = tab.run(
        "document.getElementById('picture').decode().then(() => {"
        "const b = document.getElementById('picture').getBoundingClientRect();"
        "return [b.left, b.top, b.right, b.bottom]})"
    )
    left, top, right, bottom = map(round, box)
    tab.screenshot(folder / "shot.png")
    return read_number(read_picture(folder / "shot.png")[top:bottom, left:right])


def test_keys(tab, pages):
    tab.open(pages["one"])
    weights, _ = first_shown(explanation())
    start = int(weights.argmax())

    def after(key: str) -> int:
        tab.press(key)
        return step_of(tab.run(_STATE))

    # Nothing has the focus: left and right move the marker, the others are the page's.
    assert [after(key) for key in ("ArrowLeft", "ArrowRight", "End")] == [start - 1, start, start]
    tab.run("document.getElementById('marker').focus()")
    assert [after(key) for key in ("End", "PageDown", "ArrowLeft", "ArrowDown", "PageUp")] == [
        *(49, 39, 38, 37, 47),
    ]
    assert [after(key) for key in ("PageUp", "Home", "ArrowLeft", "ArrowUp")] == [49, 0, 0, 1]
    tab.run("document.getElementById('layer-0').focus()")
    assert after("ArrowUp") == 1  # the list takes it
    assert tab.run("document.getElementById('layer-0').value") == "1"


def test_the_tab_key_comes_to_the_marker_and_the_lists(tab, pages):
    tab.open(pages["one"])
    seen = []
    for _ in range(5):
        tab.press("Tab")
        seen.append(tab.run("document.activeElement.id || document.activeElement.tagName"))
    assert seen == ["marker", "layer-0", "head-0", "class-0", "SUMMARY"]


@pytest.mark.parametrize("phone", [False, True])
def test_the_mouse_and_the_finger_move_the_marker_to_the_nearest_moment(tab, pages, phone):
    tab.open(pages["one"], size=(360, 780) if phone else (1280, 1400), phone=phone)
    check.text = pages["one"].read_text()
    weights, values = first_shown(explanation())
    plots = tab.run("document.querySelectorAll('.plot').length")
    assert plots == 4  # pictures, rail, attention, evidence
    for plot in range(plots):
        for part in (0.02, 0.31, 0.77, 0.99):
            tab.run(f"document.querySelectorAll('.plot')[{plot}].scrollIntoView({{block: 'center'}})")
            box = tab.run(
                f"(() => {{ const b = document.querySelectorAll('.plot')[{plot}].getBoundingClientRect();"
                "return [b.left, b.width, b.top + b.height / 2]})()"
            )
            x, y = box[0] + part * box[1], box[2]
            tab.touch(x, y) if phone else tab.mouse(x, y)
            nearest = int(np.abs(TIMES - part * FRAMES / FPS).argmin())
            check(tab.run(_STATE), nearest, weights, values)
    if not phone:
        tab.mouse(x, y, click=True)
        assert tab.run("document.activeElement.id") == "marker"  # so that keys go on from there


def numbers_of_line(tab, kind: str, top: float, side: int = 0) -> np.ndarray:
    """Values of a line, from its points on the page."""
    path = tab.run(f"document.querySelector('svg.attention[data-side=\"{side}\"] .{kind}').getAttribute('d')")
    heights = [float(point.split()[1]) for point in path[1:].split("L")]
    return (100 - np.array(heights)) / 92 * top


def choose(tab, name: str, value: int) -> None:
    tab.run(
        f"(() => {{ const list = document.getElementById('{name}'); list.value = '{value}';"
        "list.dispatchEvent(new Event('change')); })()"
    )


def test_layer_and_head_change_the_line(tab, pages):
    tab.open(pages["one"])
    check.text = pages["one"].read_text()
    found = explanation()
    for layer in range(LAYERS):
        for head in range(HEADS + 1):
            choose(tab, "layer-0", layer)
            choose(tab, "head-0", head)
            of_layer = found.attention[layer]
            wanted = of_layer.mean(axis=0) if head == 0 else of_layer[head - 1]
            top = max(wanted.max(), 1 / STEPS)
            drawn = numbers_of_line(tab, "line", top)
            np.testing.assert_allclose(drawn, wanted, rtol=0, atol=top / 5000)
            np.testing.assert_allclose(numbers_of_line(tab, "even", top), 1 / STEPS, atol=top / 5000)
            label = tab.run("document.getElementById('top-0').textContent")
            assert float(label.removesuffix(" %")) == pytest.approx(100 * top, rel=6e-3)
            told = tab.run("document.querySelector('svg.attention').getAttribute('aria-label')")
            assert f"frame {SHOWN[wanted.argmax()]} at " in told
            state = tab.run(_STATE)
            check(state, step_of(state), wanted, found.evidence[:, 1])


def test_what_is_drawn_without_a_script_is_what_the_script_draws(tab, pages):
    drawn = re.findall(r' d="([^"]*)"', pages["all"].read_text())
    labels = re.findall(r'<svg[^>]*aria-label="([^"]*)"', pages["all"].read_text())
    tab.open(pages["all"])
    again = tab.run("[...document.querySelectorAll('svg path')].map(path => path.getAttribute('d'))")
    for one, other in zip(drawn, again, strict=True):
        assert len(one) > 5
        close = zip(re.findall(r"[\d.]+", one), re.findall(r"[\d.]+", other), strict=True)
        assert all(abs(float(a) - float(b)) < 0.03 for a, b in close)
    choose(tab, "class-1", 0)
    told = tab.run("[...document.querySelectorAll('svg')].map(svg => svg.getAttribute('aria-label'))")
    assert [label.replace("&amp;", "&").replace("&#x27;", "'") for label in labels] == [
        label.replace("<", "&lt;").replace(">", "&gt;") for label in told
    ]


def test_the_class_changes_the_bars(tab, pages):
    """Five best classes, by falling score; a bar is as high as the score falls, and down where it rises."""
    tab.open(pages["one"])
    found = explanation()
    for place, label in enumerate([1, 5, 4, 2, 0]):
        choose(tab, "class-0", place)
        values = found.evidence[:, label]
        unit = 92 / (max(values.max(), 0) - min(values.min(), 0))
        drawn = np.zeros(10)
        for kind in ("for", "against"):
            path = tab.run(f"document.querySelector('svg.evidence .{kind}').getAttribute('d')")
            for bar in re.findall(r"M([\d.]+) ([\d.]+)H([\d.]+)V([\d.]+)", path):
                left, zero, right, edge = map(float, bar)
                second = round(left / 1000 * 9.6)
                assert (left, right) == pytest.approx(
                    (1000 * second / 9.6, min(1000, 1000 * (second + 1) / 9.6)), abs=0.01
                )
                drawn[second] = (zero - edge) / unit
                assert (drawn[second] > 0) == (kind == "for")
        np.testing.assert_allclose(drawn, values, rtol=0, atol=2e-4)
        assert tab.run("document.getElementById('class-name-0').textContent") == NAMES[label]
        shown = tab.run(_STATE)["value"].replace("\N{MINUS SIGN}", "-")
        step = step_of(tab.run(_STATE))
        assert float(shown) == pytest.approx(values[int(TIMES[step])], abs=6e-4)


def test_two_models_share_a_marker_and_a_scale(tab, pages):
    tab.open(pages["all"])
    first, second = explanation(), explanation(seed=1)
    weights = [found.attention.reshape(3, 4, 25, 2).sum(axis=-1) for found in (first, second)]
    choose(tab, "layer-1", 0)
    choose(tab, "head-1", 2)
    lines = weights[0][-1].mean(axis=0), weights[1][0, 1]
    top = max(lines[0].max(), lines[1].max(), 2 / STEPS)
    for side, line in enumerate(lines):
        np.testing.assert_allclose(numbers_of_line(tab, "line", top, side), line, rtol=0, atol=top / 5000)
    tab.run("document.getElementById('marker').focus()")
    tab.press("End")
    for side, line in enumerate(lines):
        label = tab.run(f"document.getElementById('weight-{side}').textContent")
        assert float(label.removesuffix(" %")) == pytest.approx(100 * line[-1], rel=6e-3)
    assert int(tab.run("document.getElementById('frame').textContent")) == SHOWN[48]  # every second one
    assert "25 of the 50 frames" in tab.run("document.querySelector('.notes').textContent")


def test_segments_and_gaps_are_where_they_belong(tab, pages):
    tab.open(pages["all"])
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
def test_axe_finds_nothing_to_complain_of(tab, pages, name, dark, size):
    """Roles, names, contrast and order; also with the table open."""
    spec = find_spec("axe_core_python")
    if spec is None:
        pytest.skip("needs axe-core-python")
    tab.open(pages[name], size=size, dark=dark, phone=size[0] < 500)
    tab.run("document.querySelector('details').open = true")
    tab.run(Path(spec.origin).with_name("axe.min.js").read_text() + "; 0")
    found = tab.run(
        "axe.run().then(r => ({passes: r.passes.length, bad: r.violations.map(v =>"
        "[v.id, v.help, v.nodes.map(n => n.html.slice(0, 200) + n.failureSummary)])}))"
    )
    assert found["bad"] == []
    assert found["passes"] > 15


def test_on_a_phone_nothing_scrolls_sideways_and_the_picture_stays(tab, pages):
    for name in pages:
        tab.open(pages[name], size=(360, 780), phone=True)
        assert tab.run("[innerWidth, document.documentElement.scrollWidth]") == [360, 360]
    tab.open(pages["one"], size=(360, 780), phone=True)
    tab.run("document.querySelector('svg.evidence').scrollIntoView({block: 'end'})")
    top, bottom, line = tab.run(
        "[document.getElementById('picture').getBoundingClientRect().top,"
        "document.getElementById('picture').getBoundingClientRect().bottom,"
        "document.querySelector('svg.attention').getBoundingClientRect().top]"
    )
    assert 0 <= top < bottom < line


@pytest.mark.parametrize("name", ["one", "all", "none"])
def test_without_scripts_it_shows_scores_still_pictures_and_a_table(tab, pages, name):
    tab.open(pages[name], scripts=False)
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


def test_the_page_is_whole_and_all_text_is_shown_as_it_is(pages):
    for name, page in pages.items():
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


def test_in_a_notebook_the_page_lives_in_its_frame(tab, pages, folder):
    size = (1280, 1000)
    tab.open(pages["one"], size=(size[0], 960))  # as high as its frame will be
    x, y = tab.run(
        "(() => { const b = document.querySelector('.rail').getBoundingClientRect();"
        "return [b.left + b.width * 0.5, b.top + b.height / 2] })()"
    )
    left, top, right, bottom = tab.run(
        "(() => { const b = document.getElementById('picture').getBoundingClientRect();"
        "return [b.left, b.top, b.right, b.bottom] })()"
    )
    notebook = folder / "notebook.html"
    notebook.write_text(f'<body style="margin: 0">{explanation()._repr_html_()}</body>', encoding="utf-8")
    tab.open(notebook, size=size)

    def seen() -> int:
        tab.screenshot(folder / "shot.png")
        shot = read_picture(folder / "shot.png")[round(top) : round(bottom), round(left) : round(right)]
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
