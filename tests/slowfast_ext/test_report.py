"""Tables, curves and pictures, against hand-written text and the colours in the picture itself."""

import json
import resource

import numpy as np
import pytest
from matplotlib import colormaps
from pictures import pixels_of, read_picture

from slowfast_ext.files import to_csv
from slowfast_ext.report.attention import AttentionStrip, attention_inside, even_frames, plot_strips
from slowfast_ext.report.figures import COLOURS
from slowfast_ext.report.scatter import Point, plot_scatter
from slowfast_ext.report.tables import Column, to_markdown, write_tables
from vtn.errors import InputError

COLUMNS = (Column("model", "model"), Column("top1", "top-1, %", ".1f"), Column("views", "views"))
ROWS = [{"model": "VTN", "top1": 91.0714, "views": 1}, {"model": "a|b", "top1": None, "views": 30}]


def test_markdown():
    assert to_markdown(ROWS, COLUMNS) == (
        "| model | top-1, % | views |\n"
        "| ----- | -------: | ----: |\n"
        "| VTN   |     91.1 |     1 |\n"
        "| a\\|b  |        - |    30 |\n"
    )


def test_csv_keeps_all_digits():
    assert to_csv(ROWS, [column.key for column in COLUMNS]) == "model,top1,views\nVTN,91.0714,1\na|b,,30\n"


def test_write_tables(tmp_path):
    paths = write_tables(ROWS, COLUMNS, tmp_path / "results")
    assert [path.name for path in paths] == ["results.md", "results.csv", "results.json"]
    assert paths[0].read_text() == to_markdown(ROWS, COLUMNS)
    assert json.loads(paths[2].read_text()) == {"rows": ROWS}
    with pytest.raises(InputError, match=r"cannot write .*nowhere/results\.md"):
        write_tables(ROWS, COLUMNS, tmp_path / "nowhere" / "results")


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    """The disk is full after the first 1,000 bytes: what was there stays, and nothing is left behind."""
    write_tables(ROWS, COLUMNS, tmp_path / "results")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write .*results\.md: File too large"):
            write_tables(ROWS * 500, COLUMNS, tmp_path / "results")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_scatter_places_points(tmp_path):
    path = tmp_path / "scatter.png"
    points = [Point("VTN", "full-video", 4.0, 90.0), Point("I3D", "multi-view", 40.0, 20.0)]
    plot_scatter(points, path, chance=12.5, title="cost")
    picture = read_picture(path)[: -int(0.12 * read_picture(path).shape[0])]  # without the legend
    (top, left), (low, right) = (
        np.argwhere(pixels_of(picture, colour)).mean(axis=0) for colour in COLOURS[:2]
    )
    assert top < 0.3 * picture.shape[0]
    assert low > 0.6 * picture.shape[0]
    assert left < 0.5 * picture.shape[1] < right


def texts_of(monkeypatch, draw):
    """Draw a picture; returns its figure, so that its texts can be read."""
    figures = []
    monkeypatch.setattr("slowfast_ext.report.scatter.save", lambda figure, path: figures.append(figure))
    draw()
    return [text for text in figures[0].axes[0].texts if text.get_text() != "chance"]


def test_names_in_a_scatter_do_not_overlap(monkeypatch, tmp_path):
    """Three models lie beside each other, a fourth far away; a fifth, of no room for its name, has none."""
    points = [Point(f"model_{i}", "clip", 10.0 + i / 2, 80.0 + i / 10) for i in range(3)]
    points += [Point("far", "clip", 1000.0, 60.0)] + [
        Point(f"many_{i}", "clip", 10.1, 80.0) for i in range(9)
    ]
    texts = texts_of(monkeypatch, lambda: plot_scatter(points, tmp_path / "a.png", cost="milliseconds"))
    boxes = [text.get_window_extent() for text in texts]
    assert {"model_0", "far"} <= {text.get_text() for text in texts}
    assert len(texts) < len(points)
    assert not any(boxes[i].overlaps(boxes[j]) for i in range(len(boxes)) for j in range(i))


@pytest.mark.parametrize("cost", ["gflops", "milliseconds"])
def test_a_scatter_of_one_point(cost, tmp_path):
    plot_scatter([Point("VTN", "full-video", 4218.0, 78.6)], tmp_path / "a.png", cost=cost, chance=0.25)
    rows, columns = np.nonzero(pixels_of(read_picture(tmp_path / "a.png"), COLOURS[0]))
    assert rows.size > 50
    assert columns.size > 50


def test_attention_inside():
    weights = np.array([0.1, 0.2, 0.6, 0.1])
    assert attention_inside(weights, np.array([False, True, True, False])) == pytest.approx(0.8)
    assert attention_inside(10 * weights, np.array([True, False, False, False])) == pytest.approx(0.1)


def test_even_frames():
    assert even_frames(16, 4).tolist() == [2, 6, 10, 14]
    assert even_frames(250, 5).tolist() == [25, 75, 125, 175, 225]
    assert even_frames(2, 4).tolist() == [0, 0, 1, 1]


def strip(weights, count=4, **changes):
    frames = np.full((count, 20, 30, 3), 128, np.uint8)
    values = {
        "frames": frames,
        "frame_indices": even_frames(len(weights), count),
        "weights": np.asarray(weights, dtype=float),
        "seconds": np.arange(len(weights)) / 10,
        "caption": "made up",
        "action_seconds": (5.0, 8.0),
    }
    return AttentionStrip(**(values | changes))


def test_strip_is_warm_where_the_weights_are(tmp_path):
    path = tmp_path / "strip.png"
    plot_strips([strip([0.0] * 50 + [1.0] * 50)], path, title="attention")
    picture = read_picture(path)
    warm, cold = (
        pixels_of(picture, "#" + "".join(f"{round(255 * part):02x}" for part in colormaps["plasma"](end)[:3]))
        for end in (1.0, 0.0)
    )
    middle = picture.shape[1] // 2
    assert warm.sum() > 1000
    assert warm[:, middle:].sum() > 0.99 * warm.sum()
    assert cold[:, :middle].sum() > 0.99 * cold.sum() > 1000
    action = np.nonzero(pixels_of(picture, "#009e73"))[1] / picture.shape[1]
    assert (action.min(), action.max()) == (pytest.approx(0.5, abs=0.03), pytest.approx(0.81, abs=0.03))


def test_strip_of_a_video_shorter_than_the_strip(tmp_path):
    plot_strips([strip([0.2, 1.0], count=4, action_seconds=None)], tmp_path / "strip.png")
    picture = read_picture(tmp_path / "strip.png")
    warm = np.nonzero(pixels_of(picture, "#f0f921"))[1]
    assert len(warm) > 1000
    assert warm.min() > 0.49 * picture.shape[1]  # the border of pictures 3 and 4, and half of the bar


def test_strip_without_known_action_has_no_mark(tmp_path):
    plot_strips([strip([0.5] * 10, action_seconds=None)], tmp_path / "strip.png")
    assert not pixels_of(read_picture(tmp_path / "strip.png"), "#009e73").any()


def test_strip_refuses(tmp_path):
    with pytest.raises(InputError, match="frame_indices has 3 frames but frames has 4"):
        strip([1.0] * 10, frame_indices=np.arange(3))
    with pytest.raises(InputError, match=r"weights is \(10,\) and seconds \(9,\)"):
        strip([1.0] * 10, seconds=np.arange(9))
    with pytest.raises(InputError, match="there is no video to draw"):
        plot_strips([], tmp_path / "strip.png")
