"""The demo's data set: real files, what the lists say is true, and the class is only in the action."""

import dataclasses
import hashlib
import json

import av
import numpy as np
import pytest

from slowfast_ext.demo import scenes
from slowfast_ext.demo.dataset import DatasetSettings, make_dataset, plan_videos
from slowfast_ext.demo.videos import paint_video
from vtn.errors import InputError

SMALL = DatasetSettings(num_train=8, num_val=8, seed=3)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "data"
    make_dataset(out, SMALL)
    return out


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        return np.stack(frames), stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate


def pixel_digests(out):
    return [hashlib.sha256(decode(path)[0].tobytes()).digest() for path in sorted((out / "videos").iterdir())]


@pytest.mark.slow
def test_same_seed_same_pixels(made, tmp_path):
    make_dataset(tmp_path / "again", SMALL)
    digests = pixel_digests(made)
    assert len(set(digests)) == 16
    assert pixel_digests(tmp_path / "again") == digests
    other = plan_videos(dataclasses.replace(SMALL, seed=4))
    for plan, twin in zip(plan_videos(SMALL), other, strict=True):
        assert not np.array_equal(next(paint_video(plan)), next(paint_video(twin)))


def test_files_are_what_annotations_say(made):
    videos = json.loads((made / "annotations.json").read_text())["videos"]
    assert sorted(videos) == sorted(f"videos/{path.name}" for path in (made / "videos").iterdir())
    for name, video in videos.items():
        frames, codec, pix_fmt, rate = decode(made / name)
        assert (codec, pix_fmt, rate) == ("h264", "yuv420p", video["fps"])
        assert len(frames) == video["num_frames"]
        assert sorted(frames.shape[1:3]) == [72, 96]


def test_lists(made):
    classes = (made / "classes.txt").read_text().split()
    videos = json.loads((made / "annotations.json").read_text())["videos"]
    for split in ("train", "val"):
        rows = [line.split() for line in (made / f"{split}.csv").read_text().splitlines()]
        assert sorted(int(label) for _, label in rows) == list(range(8))
        assert all(name.startswith(f"videos/{split}_") for name, _ in rows)
        assert all(videos[name]["class"] == classes[int(label)] for name, label in rows)
    assert (made / "test.csv").read_text() == (made / "val.csv").read_text()


def test_video_is_painted_as_planned(made):
    plan, *others = plan_videos(SMALL)
    twin = next(other for other in others if (other.height, other.width) == (plan.height, plan.width))
    frames = decode(made / plan.name)[0].astype(int)
    painted, other = (np.stack(list(paint_video(one))).astype(int) for one in (plan, twin))
    count = min(len(frames), len(other))
    assert np.abs(frames - painted).mean() < 6  # compression loses a little
    assert np.abs(frames[:count] - other[:count]).mean() > 20


def with_label(plan, label):
    return dataclasses.replace(plan, actions=(dataclasses.replace(plan.actions[0], label=label),))


@pytest.mark.parametrize("label", range(8))
def test_class_shows_only_in_the_action(label):
    plan, twin = (with_label(plan_videos(SMALL)[2], number) for number in (label, (label + 1) % 8))
    start, end = plan.actions[0].start, plan.actions[0].end
    differs = [not np.array_equal(a, b) for a, b in zip(paint_video(plan), paint_video(twin), strict=True)]
    assert differs == [start <= frame < end for frame in range(plan.num_frames)]


@pytest.mark.parametrize("action", scenes.ACTIONS)
def test_action_moves_and_stays_in_the_middle(action):
    rng = np.random.default_rng(0)
    for _ in range(20):
        actor = scenes.random_actor(rng, 72, 96)
        canvases = [np.zeros((72, 96, 3), np.uint8) for _ in range(5)]
        for canvas, turns in zip(canvases, (0.0, 0.2, 0.4, 0.6, 0.8), strict=True):
            action(canvas, actor, turns)
        touched = np.stack(canvases).any(axis=(0, 3))
        assert any((canvas != canvases[0]).any() for canvas in canvases[1:])
        assert touched[:, 12:84].sum() > 0.9 * touched.sum()


def test_plan_has_the_promised_variety():
    plans = plan_videos(DatasetSettings())
    assert len(plans) == 216
    actions = [plan.actions[0] for plan in plans]
    assert np.bincount([action.label for action in actions]).tolist() == [27] * 8
    parts = [(a.end - a.start) / plan.num_frames for a, plan in zip(actions, plans, strict=True)]
    assert 0.19 < min(parts) < 0.22
    assert 0.38 < max(parts) < 0.41
    assert all(a.start >= 0 and a.end <= plan.num_frames for a, plan in zip(actions, plans, strict=True))
    seconds = [plan.num_frames / plan.fps for plan in plans]
    assert min(seconds) < 6
    assert max(seconds) > 12
    assert {plan.fps for plan in plans} == {25, 30}
    assert {plan.width > plan.height for plan in plans} == {True, False}
    assert plan_videos(DatasetSettings()) == plans


@pytest.mark.slow
def test_finished_set_is_kept_and_unfinished_one_is_made_again(made, tmp_path):
    out = tmp_path / "data"
    make_dataset(out, SMALL)
    first = out / "videos" / "train_0000.mp4"
    written = first.stat().st_mtime_ns
    said = []
    make_dataset(out, SMALL, say=said.append)
    assert first.stat().st_mtime_ns == written
    assert said == [f"data set in {out} is complete"]
    for name in ("annotations.json", "train.csv", "val.csv", "test.csv"):
        (out / name).unlink()
    first.write_bytes(b"half a file")
    make_dataset(out, SMALL)
    assert pixel_digests(out) == pixel_digests(made)


def test_refuses_other_data(made, tmp_path):
    with pytest.raises(InputError, match=r"made with other settings .*'seed': 3"):
        make_dataset(made, dataclasses.replace(SMALL, seed=5))
    (tmp_path / "train.csv").write_text("mine.mp4 0\n")
    with pytest.raises(InputError, match=r"holds train\.csv that the demo did not write"):
        make_dataset(tmp_path, SMALL)
    assert (tmp_path / "train.csv").read_text() == "mine.mp4 0\n"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder .*file/sub/videos"):
        make_dataset(tmp_path / "file" / "sub", SMALL)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_train": 12}, "num_train must be a positive multiple of the 8 classes, but is 12"),
        ({"num_val": 0}, "num_val must be a positive multiple of the 8 classes, but is 0"),
        ({"seed": -1}, "seed must not be negative, but is -1"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message):
        DatasetSettings(**values)
