"""The page of a video in a real browser: keys, mouse and lists, and what they show."""

import re

import numpy as np
import pytest
from pictures import read_picture
from video_pages import (
    FPS,
    FRAMES,
    HEADS,
    LAYERS,
    NAMES,
    SHOWN,
    STEPS,
    TIMES,
    explanation,
    first_shown,
    numbers_of,
)
from videos import read_number

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
    numbers = numbers_of(check.text)
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


def test_the_right_arrow_goes_through_all_moments_and_all_agree_at_each(tab, video_pages, tmp_path):
    """Keys are pressed as by a person; at each moment the picture on the screen is read."""
    tab.open(video_pages["one"])
    check.text = video_pages["one"].read_text()
    weights, values = first_shown(explanation())
    assert step_of(tab.run(_STATE)) == weights.argmax()
    tab.run("document.getElementById('marker').focus()")
    tab.press("Home")
    for step in range(STEPS):
        check(tab.run(_STATE), step, weights, values)
        assert painted_number(tab, tmp_path) == SHOWN[step]
        tab.press("ArrowRight")
    check(tab.run(_STATE), STEPS - 1, weights, values)  # there it ends


def painted_number(tab, tmp_path) -> int:
    """The number in the picture that is seen."""
    box = tab.run(
        "document.getElementById('picture').decode().then(() => {"
        "const b = document.getElementById('picture').getBoundingClientRect();"
        "return [b.left, b.top, b.right, b.bottom]})"
    )
    left, top, right, bottom = map(round, box)
    tab.screenshot(tmp_path / "shot.png")
    return read_number(read_picture(tmp_path / "shot.png")[top:bottom, left:right])


def test_keys(tab, video_pages):
    tab.open(video_pages["one"])
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


def test_the_video_plays_at_its_own_pace_until_something_moves_the_marker(tab, video_pages):
    tab.open(video_pages["one"])

    def click() -> str:
        x, y = tab.run(
            "(() => { const b = document.getElementById('play').getBoundingClientRect();"
            "return [b.left + b.width / 2, b.top + b.height / 2] })()"
        )
        tab.mouse(x, y, click=True)
        return tab.run("document.getElementById('play').textContent")

    def seconds_of_playing(milliseconds: int) -> tuple[float, float]:
        """Of the video and of the clock."""
        begin, *ends = tab.run(
            "new Promise(done => { const at = () => [Number(document.getElementById('time').textContent"
            ".split(' ')[0]), performance.now() / 1000]; const begin = at();"
            f"setTimeout(() => done([begin, at()]), {milliseconds}) }})"
        )
        return ends[0][0] - begin[0], ends[0][1] - begin[1]

    tab.run("document.getElementById('marker').focus()")
    tab.press("Home")
    assert click() == "Stop"
    shown, passed = seconds_of_playing(1000)
    assert shown == pytest.approx(passed, abs=0.5)
    assert click() == "Play"
    assert seconds_of_playing(300)[0] == 0
    assert click() == "Stop"
    tab.run("document.getElementById('marker').focus()")
    tab.press("PageUp")
    assert tab.run("document.getElementById('play').textContent") == "Play"
    assert seconds_of_playing(300)[0] == 0
    tab.press("End")
    assert click() == "Stop"  # from the beginning
    assert step_of(tab.run(_STATE)) < 20


def test_the_tab_key_comes_to_the_marker_and_the_lists(tab, video_pages):
    tab.open(video_pages["one"])
    seen = []
    for _ in range(6):
        tab.press("Tab")
        seen.append(tab.run("document.activeElement.id || document.activeElement.tagName"))
    assert seen == ["play", "marker", "layer-0", "head-0", "class-0", "SUMMARY"]


@pytest.mark.parametrize("phone", [False, True])
def test_the_mouse_and_the_finger_move_the_marker_to_the_nearest_moment(tab, video_pages, phone):
    tab.open(video_pages["one"], size=(360, 780) if phone else (1280, 1400), phone=phone)
    check.text = video_pages["one"].read_text()
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


def test_layer_and_head_change_the_line(tab, video_pages):
    tab.open(video_pages["one"])
    check.text = video_pages["one"].read_text()
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


def test_the_class_changes_the_bars(tab, video_pages):
    """Five best classes, by falling score; a bar is as high as the score falls, and down where it rises."""
    tab.open(video_pages["one"])
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


def test_two_models_share_a_marker_and_a_scale(tab, video_pages):
    tab.open(video_pages["all"])
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


def test_what_is_drawn_without_a_script_is_what_the_script_draws(tab, video_pages):
    drawn = re.findall(r' d="([^"]*)"', video_pages["all"].read_text())
    labels = re.findall(r'<svg[^>]*aria-label="([^"]*)"', video_pages["all"].read_text())
    tab.open(video_pages["all"])
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
