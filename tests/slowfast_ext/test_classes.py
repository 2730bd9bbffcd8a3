"""Accuracy class by class: sums done by hand, and the colours in the pictures."""

import numpy as np
import pytest
from pictures import pixels_of, read_picture

from slowfast_ext.report import class_pictures
from slowfast_ext.report.class_pictures import plot_class_accuracy, plot_confusion
from slowfast_ext.report.classes import class_accuracy, confusion_matrix, mean_class_accuracy, most_confused
from slowfast_ext.report.figures import COLOURS


def test_confusions_by_hand():
    """Class 0: three of four are right. Class 1: its video is taken for class 3. Class 2 has no video."""
    matrix = confusion_matrix(np.array([0, 0, 0, 0, 1, 3]), np.array([0, 0, 2, 0, 3, 3]), 4)
    assert matrix.tolist() == [[3, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(class_accuracy(matrix), [75, 0, np.nan, 100])
    assert mean_class_accuracy(matrix) == pytest.approx(175 / 3)  # of the videos, 4 of 6 are right
    assert most_confused(matrix, 5) == [
        (1, 3),
        (0, 2),
    ]  # one video each: all of class 1, a quarter of class 0
    assert most_confused(matrix, 1) == [(1, 3)]


def test_without_a_video_there_is_no_accuracy():
    matrix = confusion_matrix(np.array([]), np.array([]), 3)
    assert np.isnan(class_accuracy(matrix)).all()
    assert mean_class_accuracy(matrix) is None
    assert most_confused(matrix, 3) == []


@pytest.mark.parametrize(
    ("labels", "predicted", "sentence"),
    [
        ([0, 3], [0, 1], "labels has class 3, but there are 3 classes"),
        ([0, 1], [0, -1], "predicted has class -1, but there are 3 classes"),
        ([0, 1], [0], r"labels is \(2,\) and predicted \(1,\)"),
    ],
)
def test_classes_that_are_not_there(labels, predicted, sentence):
    with pytest.raises(ValueError, match=sentence):
        confusion_matrix(np.array(labels), np.array(predicted), 3)


@pytest.fixture
def drawn(monkeypatch):
    """Figures instead of files."""
    figures = []
    monkeypatch.setattr(class_pictures, "save", lambda figure, path: figures.append(figure))
    return figures


def names_down(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_each_model_has_its_dot_in_each_class(tmp_path):
    low, high = np.array([10.0, 20.0, np.nan]), np.array([90.0, 80.0, np.nan])
    plot_class_accuracy({"low": low, "high": high}, ["a", "b", "c"], tmp_path / "a.png", title="by class")
    picture = read_picture(tmp_path / "a.png")
    picture = picture[: int(0.7 * picture.shape[0])]  # without the legend
    columns = [np.nonzero(pixels_of(picture, colour))[1] for colour in COLOURS[:2]]
    assert columns[0].max() < 0.5 * picture.shape[1] < columns[1].min()
    gaps = [np.diff(np.unique(found)).max() for found in columns]
    assert min(gaps) > 0.04 * picture.shape[1]  # two dots, 10 % apart


def test_of_few_classes_all_are_named(drawn, tmp_path):
    names = ["<script>", "cost in $ and $", "動画", "none"]
    plot_class_accuracy({"VTN": np.array([1.0, 2.0, 3.0, np.nan])}, names, tmp_path / "a.png")
    assert names_down(drawn[0]) == ["<script>", r"cost in \$ and \$", "class 2"]
    assert drawn[0].axes[0].get_title("left") == "3 classes; 1 class without a video left out"


def test_of_many_classes_those_that_tell_most_are_drawn(drawn, tmp_path):
    """Class 7 is worst, and 9 is where the two models differ most; class 5 has no video."""
    names = [f"c{i}" for i in range(400)]
    one, two = np.full(400, 80.0), np.full(400, 80.0)
    one[7], two[7], one[9], two[9], one[5], two[5] = 1, 2, 90, 10, np.nan, np.nan
    plot_class_accuracy({"one": one}, names, tmp_path / "a.png")
    plot_class_accuracy({"one": one, "two": two}, names, tmp_path / "a.png")
    assert [names_down(figure)[0] for figure in drawn] == ["c7", "c9"]
    assert [len(names_down(figure)) for figure in drawn] == [30, 30]
    assert [figure.axes[0].get_title("left") for figure in drawn] == [
        "Of 399 classes, the 30 worst; 1 class without a video left out",
        "Of 399 classes, the 30 that the models differ most on; 1 class without a video left out",
    ]


def test_the_map_shows_the_true_class_down_and_the_predicted_across(tmp_path):
    """All videos of class 0 are taken for class 1, which has none itself: dark above, on the right."""
    plot_confusion(np.array([[0, 20], [0, 0]]), ["a", "b"], tmp_path / "a.png", title="VTN")
    picture = read_picture(tmp_path / "a.png")[:, : -int(0.3 * read_picture(tmp_path / "a.png").shape[1])]
    dark, grey = (np.argwhere(pixels_of(picture, colour)) for colour in ("#08306b", "#dddddd"))
    assert np.median(dark[:, 0]) < np.median(grey[:, 0])
    assert np.median(dark[:, 1]) > np.median(grey[:, 1])


def test_small_confusions_have_numbers_and_large_ones_their_mistakes(drawn, tmp_path):
    small = np.array([[7, 1], [0, 9]])
    plot_confusion(small, ["yes", "no"], tmp_path / "a.png")
    assert [text.get_text() for text in drawn[0].axes[0].texts] == ["7", "1", "9"]
    large = np.eye(400, dtype=np.int64) * 20
    large[3, 5], large[8, 2] = 4, 9
    plot_confusion(large, [f"c{i}" for i in range(400)], tmp_path / "a.png")
    listed = drawn[1].axes[1]
    assert [label.get_text() for label in listed.get_yticklabels()] == ["c8 → c2", "c3 → c5"]
    assert [text.get_text() for text in listed.texts] == [" 9 of 29", " 4 of 24"]
    plot_confusion(np.eye(400, dtype=np.int64), [f"c{i}" for i in range(400)], tmp_path / "a.png")
    assert [text.get_text() for text in drawn[2].axes[1].texts] == ["none"]
