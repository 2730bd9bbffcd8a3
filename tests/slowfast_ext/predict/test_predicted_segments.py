"""A model that finds segments says the same everywhere: in its test, in Python, by chunks, in every file."""

import csv
import io
import json

import pytest
import torch
from predictions import FULL, NAMES

from slowfast_ext.engine.test import test as run_test
from slowfast_ext.predict import Predictor
from slowfast_ext.predict.command import predict
from slowfast_ext.predict.output import PredictionFile
from vtn.errors import InputError

LOCALIZING = (
    "ENGINE own TRAIN.DATASET vtnsegments TEST.DATASET vtnsegments VTN.LOCALIZATION_SCALES 2 "
    "VTN.BACKBONE test_resnet"
).split()


@pytest.fixture
def localizer(trained, tmp_path, clips):
    """A checkpoint, and what the test of its run found, by path: (begin, end, name, score)."""
    data = tmp_path / "data"
    data.mkdir()
    truth = {str(path): {"annotations": [{"segment": [0.1, 0.5], "label": NAMES[1]}]} for path in clips}
    (data / "segments.json").write_text(json.dumps({"database": truth}))
    cfg, path = trained(*FULL, *LOCALIZING)
    content = torch.load(path, weights_only=True)
    content["model_state"]["localization_head.classes.bias"].fill_(-1.0)  # so that some scores are high
    torch.save(content, path)
    run_test(cfg)
    results = json.loads((tmp_path / "run/segments.json").read_text())["results"]
    found = {
        video: [(*row["segment"], row["label"], row["score"]) for row in rows]
        for video, rows in results.items()
    }
    assert all(found.values())
    return path, found


def rows_of(prediction) -> list[tuple]:
    return [(s.begin, s.end, prediction.name(s.label), s.score) for s in prediction.segments]


def assert_same(rows, wanted, begin: float = 0.0):
    assert [row[2] for row in rows] == [row[2] for row in wanted]
    for column in (0, 1, 3):
        offset = begin if column < 2 else 0.0
        got = [row[column] - offset for row in rows]
        assert got == pytest.approx([row[column] for row in wanted], abs=2e-3)


def test_predictions_are_those_of_the_runs_test(localizer, clips):
    path, wanted = localizer
    predictor = Predictor(path)
    assert predictor.finds_segments
    for prediction in predictor.predict_files([str(clip) for clip in clips]):
        assert_same(rows_of(prediction), wanted[prediction.path])
        assert prediction.segments[0].score == max(segment.score for segment in prediction.segments)
    one = predictor(clips[3])  # a few frames at a time
    assert_same(rows_of(one), wanted[str(clips[3])])
    chunked = Predictor(path, frames_per_chunk=3)
    (prediction,) = chunked.predict_files([str(clips[4])])
    assert_same(rows_of(prediction), wanted[str(clips[4])])


def test_windows_find_segments_in_seconds_of_the_video(localizer, clips):
    """The last of two windows, alone: a video of its frames says the same, earlier."""
    path, _ = localizer
    predictor = Predictor(path)
    from slowfast_ext.video import VideoReader

    reader = VideoReader(str(clips[4]))  # 75 frames
    frames = torch.stack([torch.as_tensor(picture) for _, picture in reader.decode(list(range(75)))])
    alone = predictor(frames[50:], fps=25)
    both = predictor(frames, fps=25, window=1.0, every=2.0)
    assert [(part.begin, part.end) for part in both.windows] == [(0, 1), (2, 3)]
    later = [segment for segment in both.segments if segment.begin >= 2]
    assert len(later) >= 1
    rows = [(s.begin, s.end, NAMES[s.label], s.score) for s in later]
    assert_same(rows, rows_of(alone)[: len(rows)], begin=2.0)
    assert {segment.begin < 1 for segment in both.segments if segment not in later} == {True}


def test_what_the_command_prints_and_writes(localizer, clips, tmp_path, capsys):
    path, wanted = localizer
    video = str(clips[4])
    high = sorted(row for row in wanted[video] if row[3] >= 0.3)
    assert 0 < len(high) < len(wanted[video])
    predict([str(path), video, "--least-score", "0.3", "--out", str(tmp_path / "p.jsonl")])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if " s  0." in line]
    assert [float(line[0]) for line in lines] == pytest.approx([row[0] for row in high], abs=0.011)
    told = sorted((float(line[4]), " ".join(line[5:])) for line in lines)
    assert [name for _, name in told] == [row[2] for row in sorted(high, key=lambda row: (row[3], row[2]))]
    (record,) = map(json.loads, (tmp_path / "p.jsonl").read_text().splitlines())
    written = sorted(record["segments"], key=lambda segment: -segment["score"])
    assert_same(
        [(s["begin"], s["end"], s["name"], s["score"]) for s in written],
        [(round(begin, 3), round(end, 3), name, score) for begin, end, name, score in wanted[video]][
            : len(high)
        ],
    )
    assert len(record["labels"]) == 5  # of the whole video, as ever

    predict([str(path), video, "--least-score", "0.3", "--out", str(tmp_path / "p.csv")])
    table = list(csv.DictReader(io.StringIO((tmp_path / "p.csv").read_text())))
    assert sorted(row["name"] for row in table if row["rank"] == "") == sorted(row[2] for row in high)
    assert len([row for row in table if row["rank"]]) == 5

    predict([str(path), video, "--least-score", "0.3", "--out", str(tmp_path / "p.vtt")])
    cues = (tmp_path / "p.vtt").read_text().strip().split("\n\n")
    assert cues[0] == "WEBVTT"
    assert len(cues) == 1 + len(high)
    assert cues[1].splitlines()[0].startswith("00:00:0")


def test_nothing_above_the_least_score_is_said(localizer, clips, capsys):
    path, _ = localizer
    predict([str(path), str(clips[0]), "--least-score", "1"])
    assert "no segment has a score of 1 or more" in capsys.readouterr().out


def test_another_least_score_is_another_answer_in_the_file(localizer, clips, tmp_path, capsys):
    path, _ = localizer
    for score in ("0.3", "0.3", "0.4"):
        predict([str(path), str(clips[0]), "--least-score", score, "--out", str(tmp_path / "p.jsonl")])
        capsys.readouterr()
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 2


def test_several_looks_have_no_segments(localizer, clips):
    path, _ = localizer
    with pytest.raises(InputError, match="TEST.NUM_SPATIAL_CROPS is 3: with VTN.LOCALIZATION_SCALES"):
        Predictor(path, views="multi")


def test_a_model_without_a_head_takes_no_least_score(trained, clips):
    _, path = trained(*FULL)
    assert Predictor(path)(clips[0]).segments is None
    with pytest.raises(InputError, match="--least-score is of segments, and this model finds none"):
        predict([str(path), str(clips[0]), "--least-score", "0.3"])
    with pytest.raises(InputError, match="--least-score is 2: it must be above 0 and at most 1"):
        predict([str(path), str(clips[0]), "--least-score", "2"])


def test_a_strangers_number_of_scales_is_refused(localizer, tmp_path):
    path, _ = localizer
    content = torch.load(path, weights_only=True)
    content["cfg"] = content["cfg"].replace("LOCALIZATION_SCALES: 2", "LOCALIZATION_SCALES: 60")
    torch.save(content, tmp_path / "other.pyth")
    with pytest.raises(InputError, match="VTN.LOCALIZATION_SCALES is no number up to 16"):
        Predictor(tmp_path / "other.pyth")


def test_names_in_subtitles_are_text(localizer, clips, tmp_path):
    path, _ = localizer
    prediction = Predictor(path)(clips[4])
    file = PredictionFile(tmp_path / "p.vtt", "", 5)
    file.add(prediction)
    file.close()
    assert "fall & rise" not in (tmp_path / "p.vtt").read_text()


def test_an_explanation_has_them_and_its_page_shows_the_best(localizer, clips):
    path, wanted = localizer
    found = Predictor(path).explain(clips[3], least_score=0.3)
    assert_same(rows_of(found.prediction), wanted[str(clips[3])])
    assert found.segments == tuple(found.prediction.best_segments(0.3))
    assert 0 < len(found.segments) < len(found.prediction.segments)
    page = found.page()
    for segment in found.segments:
        assert f"{segment.begin:.2f} s to {segment.end:.2f} s, score {segment.score:.3f}" in page
    assert found.evidence.shape[1] == len(NAMES)
