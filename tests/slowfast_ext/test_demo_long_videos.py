"""The demo's long videos: what lists and segments say is true of the pictures; plans are sound."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from slowfast_ext.data.segments import read_segments
from slowfast_ext.data.video_list import read_video_list
from slowfast_ext.demo import command, scenes
from slowfast_ext.demo.dataset import DatasetSettings, make_dataset
from slowfast_ext.demo.long_videos import LongVideosSettings, make_long_videos, plan_long_videos
from slowfast_ext.demo.videos import paint_video
from slowfast_ext.video import VideoReader
from vtn.errors import InputError

SMALL = LongVideosSettings(num_train=2, num_val=1, num_test=1, seed=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "data"
    make_long_videos(out, SMALL)
    return out


def test_lists_and_segments_are_true_of_the_pictures(made):
    """Frames differ from mere surroundings where a segment says so, and nowhere else."""
    plans = {plan.name: plan for plan in plan_long_videos(SMALL)}
    names = scenes.CLASS_NAMES
    assert (made / "classes.txt").read_text().split() == list(names)
    for split, count in (("train", 2), ("val", 1), ("test", 1)):
        paths, labels = read_video_list(made / f"{split}.csv", num_classes=8)
        assert len(paths) == count
        for path, label, segments in zip(
            paths, labels, read_segments(made, paths, num_classes=8), strict=True
        ):
            reader = VideoReader(path)
            plan = plans[str(Path(path).relative_to(made))]
            assert (reader.info.num_frames, reader.fps) == (plan.num_frames, plan.fps)
            times = np.arange(plan.num_frames) / plan.fps
            inside = sum((times >= s.begin - 1e-9) & (times < s.end - 1e-9) for s in segments)
            assert inside.max() == 1
            nothing = paint_video(dataclasses.replace(plan, actions=()))
            acts = [not np.array_equal(*pair) for pair in zip(paint_video(plan), nothing, strict=True)]
            assert np.array_equal(np.array(acts), inside == 1)
            seconds = np.bincount([s.label for s in segments], [s.end - s.begin for s in segments], 8)
            assert seconds[label] == seconds.max()
    written = json.loads((made / "segments.json").read_text())["database"]
    assert [entry["subset"] for entry in written.values()] == ["train", "train", "val", "test"]


def test_files_show_what_is_planned(made):
    for plan in plan_long_videos(SMALL)[::3]:
        wanted = torch.from_numpy(np.stack(list(paint_video(plan))[::50]))
        found = VideoReader(made / plan.name).read(torch.arange(0, plan.num_frames, 50))
        assert (found.float() - wanted.float()).abs().mean() < 6  # compression loses a little


def test_an_action_of_each_class_is_planned_equally_often_and_alone():
    plans = plan_long_videos(LongVideosSettings())
    assert len(plans) == 200
    for split, count in (("train", 120), ("val", 40), ("test", 40)):
        of_split = [plan for plan in plans if plan.name.startswith(f"videos/{split}_")]
        assert len(of_split) == count
        labels = np.bincount([a.label for plan in of_split for a in plan.actions])
        assert labels.max() - labels.min() <= 1
    for plan in plans:
        assert 20 <= plan.num_frames / plan.fps <= 40.02
        ends = [0, *(action.end for action in plan.actions)]
        starts = [*(action.start for action in plan.actions), plan.num_frames]
        gaps = [(start - end) / plan.fps for start, end in zip(starts, ends, strict=True)]
        assert min(gaps) >= 0
        assert min(gaps[1:-1], default=1) > 0.7
        lengths = [(action.end - action.start) / plan.fps for action in plan.actions]
        assert min(lengths) > 1.0
        assert max(lengths) < 5.1
        assert sum(lengths) < 0.61 * plan.num_frames / plan.fps
    assert {len(plan.actions) for plan in plans} == {2, 3, 4, 5}
    assert {plan.fps for plan in plans} == {25, 30}
    assert {plan.width > plan.height for plan in plans} == {True, False}
    assert plan_long_videos(LongVideosSettings()) == plans
    other = plan_long_videos(LongVideosSettings(seed=1))
    assert not any(one.actions == two.actions for one, two in zip(plans, other, strict=True))


def test_finished_set_is_kept_and_unfinished_one_is_made_again(made, tmp_path):
    first = made / "videos" / "train_0000.mp4"
    written, said = first.stat().st_mtime_ns, []
    make_long_videos(made, SMALL, say=said.append)
    assert first.stat().st_mtime_ns == written
    assert said == [f"data set in {made} is complete"]
    content = first.read_bytes()
    for name in ("annotations.json", "train.csv", "val.csv", "test.csv"):
        (made / name).unlink()
    first.write_bytes(b"half a file")
    make_long_videos(made, SMALL)
    assert first.read_bytes() == content


def test_refuses_other_data(made, tmp_path):
    with pytest.raises(InputError, match=r"made with other settings .*'seed': 3"):
        make_long_videos(made, dataclasses.replace(SMALL, seed=5))
    with pytest.raises(InputError, match="made with other settings"):
        make_dataset(made, DatasetSettings())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_test": 0}, "num_test must be 1 or more, but is 0"),
        ({"seed": -1}, "seed must not be negative, but is -1"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message):
        LongVideosSettings(**values)


def test_the_command(tmp_path, monkeypatch, capsys):
    called = []
    monkeypatch.setattr(command, "make_long_videos", lambda *given: called.append(given))
    out = str(tmp_path)
    assert command.demonstrate(["--data", "segments", "--out", out, "--num-train", "5", "--seed", "2"]) == 0
    assert called == [(tmp_path / "segments", LongVideosSettings(num_train=5, seed=2))]
    assert f"DATA.PATH_TO_DATA_DIR {tmp_path}/segments MODEL.NUM_CLASSES 8" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"--opts SOLVER\.MAX_EPOCH is for a training"):
        command.demonstrate(["--data", "segments", "--out", out, "--opts", "SOLVER.MAX_EPOCH", "1"])
