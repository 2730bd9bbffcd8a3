"""A model that finds segments, trained and tested by the loops on real files; its results by hand."""

import json
import math

import pytest
import torch
from tiny_runs import TINY, UNTRAINED, stats
from videos import make_video

from slowfast_ext.config import load_config
from slowfast_ext.data.build import construct_loader
from slowfast_ext.engine.batch import Batch
from slowfast_ext.engine.localizing import (
    FoundSegments,
    in_seconds,
    loss_of_segments,
    shares_of_classes,
)
from slowfast_ext.models import make_model
from slowfast_ext.plugin import loops
from slowfast_ext.video.sampling import full_video_frame_indices, moments_of_places, places_of_moments
from vtn.average_precision import average_precision
from vtn.errors import InputError
from vtn.localization import Localized, Segments, localization_loss, segments_of

CLASSES = ("a", "b", "c", "d", "e")
LOCALIZING = (
    "ENGINE own TRAIN.DATASET vtnsegments TEST.DATASET vtnsegments VTN.LOCALIZATION_SCALES 2 "
    "SOLVER.BASE_LR 0.001 DATA.NUM_FRAMES 12"
).split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Eight videos of 40 to 61 frames at 25 fps, each with one or two segments."""
    folder, rows, database = tmp_path_factory.mktemp("segments"), [], {}
    for number in range(8):
        name, label = f"{number}.mp4", number % 5
        make_video(folder / name, 40 + 3 * number, fps=25, size=(64, 48))
        rows.append(f"{name} {label}\n")
        found = [{"segment": [0.2, 1.2], "label": CLASSES[label]}]
        if number % 2:
            found.append({"segment": [1.0, 1.48], "label": CLASSES[(label + 1) % 5]})
        database[name] = {"annotations": found}
    for split, part in (("train", rows), ("val", rows[:7]), ("test", rows[:7])):
        (folder / f"{split}.csv").write_text("".join(part))
    (folder / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    (folder / "segments.json").write_text(json.dumps({"database": database}))
    return folder


@pytest.fixture
def cfg_of(folder, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)

    def load(*overrides: str, out: str = "out"):
        places = ["DATA.PATH_TO_DATA_DIR", str(folder), "OUTPUT_DIR", str(tmp_path / out)]
        return load_config(tmp_path / "tiny.yaml", [*places, *LOCALIZING, *overrides])

    return load


def test_moments_and_places_by_hand():
    # 10 frames, of which 0, 3, 6, 9 are shown: place 1 is the middle of frame 3, moment 3.5.
    assert full_video_frame_indices(10, num_frames=4).tolist() == [0, 3, 6, 9]
    moments = torch.tensor([0.5, 3.5, 6.5, 9.5, 2.0])
    assert places_of_moments(moments, 10, 4).tolist() == [0, 1, 2, 3, 0.5]
    torch.testing.assert_close(moments_of_places(torch.tensor([0.0, 1, 2, 3, 0.5]), 10, 4), moments)
    # A short video: 3 frames shown five times.
    assert full_video_frame_indices(3, num_frames=5).tolist() == [0, 0, 1, 1, 2]
    assert places_of_moments(torch.tensor([0.5, 1.5, 2.5]), 3, 5).tolist() == [0, 2, 4]
    # Beyond the ends is the end.
    assert moments_of_places(torch.tensor([-3.0, 9.0]), 10, 4).tolist() == [0, 10]
    seconds = in_seconds(Segments(torch.tensor([[1.0, 2.0]]), torch.zeros(1), torch.ones(1)), 4, 10.0, 25.0)
    assert seconds.spans.tolist() == [[pytest.approx(3.5 / 25), pytest.approx(6.5 / 25)]]


def test_shares_of_the_annotated_time():
    segments = torch.tensor([[[0.0, 3.0, 2.0], [4.0, 5.0, 0.0], [6.0, 9.0, -1.0]], [[1.0, 2.0, 1.0]] * 3])
    assert shares_of_classes(segments, 3).tolist() == [[0.25, 0, 0.75], [0, 1, 0]]
    assert shares_of_classes(segments[:, :0], 3).tolist() == [[0, 0, 0]] * 2


@pytest.mark.parametrize("mode", ["train", "val", "test"])
def test_items_bring_their_segments_as_places(cfg_of, mode):
    """Video 1: 43 frames at 25 fps, 12 shown."""
    cfg = cfg_of()
    inputs, *_ = construct_loader(cfg, mode).dataset[1]
    _, frame_indices, segments = inputs
    assert len(frame_indices) == 12
    assert segments.dtype == torch.float32
    wanted = [[(seconds * 25 - 0.5) * 11 / 42 for seconds in span] for span in ((0.2, 1.2), (1.0, 1.48))]
    torch.testing.assert_close(segments, torch.tensor([[*wanted[0], 1.0], [*wanted[1], 2.0]]))
    other, *_ = construct_loader(cfg, mode).dataset[0]
    assert other[2][1].tolist()[2] == -1


def test_the_loss_is_that_of_both_parts(cfg_of):
    cfg = cfg_of()
    model = make_model(cfg).train()
    loader = construct_loader(cfg, "train")
    loaded = next(iter(loader))
    batch = Batch(loaded, torch.device("cpu"))
    output = model(batch.inputs)
    assert isinstance(output, Localized)
    loss = loss_of_segments(output, batch, model, torch.nn.CrossEntropyLoss())
    shares = shares_of_classes(batch.inputs[2], 5)
    assert shares.sum(1).tolist() == pytest.approx([1.0] * 4)
    by_hand = -(shares * output.logits.log_softmax(1)).sum(1).mean()
    by_hand = by_hand + localization_loss(output, model.points(12), batch.inputs[2])
    torch.testing.assert_close(loss, by_hand)


def test_training_and_test(cfg_of, tmp_path, folder):
    cfg = cfg_of()
    loops.train(cfg)
    loops.test(cfg)
    log = (tmp_path / "out" / "stdout.log").read_text()
    assert len(stats(log, _type="train_iter")) + len(stats(log, _type="train_iter_")) == 4
    assert all(0 <= line["mAP"] <= 100 for line in stats(log, _type="val_segments"))
    assert len(stats(log, _type="val_segments")) == 2
    results = json.loads((tmp_path / "out" / "test_results.json").read_text())
    assert results["num_videos"] == 7

    # mAP once more, from the file of segments and that of the truth, with names and seconds.
    document = json.loads((tmp_path / "out" / "segments.json").read_text())
    truth = json.loads((folder / "segments.json").read_text())["database"]
    assert len(document["results"]) == 7

    def table(rows, name):
        spans = torch.tensor([row["segment"] for row in rows], dtype=torch.float64).view(-1, 2)
        labels = torch.tensor([CLASSES.index(row["label"]) for row in rows])
        return Segments(spans, labels, torch.tensor([row.get("score", 1.0) for row in rows]))

    found = {path.rpartition("/")[2]: table(rows, path) for path, rows in document["results"].items()}
    true = {name: table(truth[name]["annotations"], name) for name in found}
    for path, segments in found.items():
        last = (40 + 3 * int(path[0])) / 25
        assert (segments.spans >= 0).all()
        assert (segments.spans <= last).all()
    precision = average_precision(found, true, 5)
    assert results["mAP"] == pytest.approx(100 * precision.mean, abs=0.02)
    assert results["mAP_at_0.5"] == pytest.approx(100 * precision.means[2], abs=0.02)


def test_what_is_found_exactly_has_a_precision_of_one(cfg_of):
    """The true segments, said by the points themselves, come through all conversions."""
    cfg = cfg_of()
    model = make_model(cfg).eval()
    segments = FoundSegments(model, cfg)
    for loaded in construct_loader(cfg, "test"):
        truth = loaded[0][2]
        points = model.points(12)
        logits = torch.full((len(truth), len(points.at), 5), -20.0)
        offsets = torch.ones(len(truth), len(points.at), 2)
        for video, rows in enumerate(truth.tolist()):
            for begin, end, label in rows:
                if label >= 0:
                    point = int(((begin + end) / 2 - points.at[:12]).abs().argmin())
                    logits[video, point, int(label)] = 5.0
                    offsets[video, point] = torch.tensor([point - begin, end - point])
        segments.add(Localized(torch.zeros(len(truth), 5), logits, offsets), loaded)
    precision = segments.precision()
    assert precision.mean == 1
    assert not math.isnan(precision.mean)
    assert segments.true[1].spans.flatten().tolist() == pytest.approx([0.2, 1.2, 1.0, 1.48], abs=1e-6)


@pytest.mark.slow
def test_two_processes_find_what_one_finds(cfg_of, tmp_path, run_net, folder):
    """A test in two processes, of weights that one has trained."""
    loops.train(cfg_of("SOLVER.MAX_EPOCH", "1"))
    weights = ("TEST.CHECKPOINT_FILE_PATH", str(tmp_path / "out/checkpoints/checkpoint_epoch_00001.pyth"))
    loops.test(cfg_of(*weights))
    one = json.loads((tmp_path / "out/test_results.json").read_text())
    typed = ["DATA.PATH_TO_DATA_DIR", str(folder), *LOCALIZING, *weights, "TRAIN.ENABLE", "False"]
    done = run_net(tmp_path / "two", *typed, "VTN.CPU_PROCESSES", "2", "TEST.ENABLE", "True")
    assert done.returncode == 0, done.stderr[-2000:]
    two = json.loads((tmp_path / "two/test_results.json").read_text())
    assert {name: two[name] for name in one if name.startswith("mAP")} == {
        name: value for name, value in one.items() if name.startswith("mAP")
    }
    assert len(json.loads((tmp_path / "two/segments.json").read_text())["results"]) == 7


@pytest.mark.slow
def test_two_processes_train_together(cfg_of, run_net, tmp_path, folder):
    """Each waits for the gradient of every weight; all have one."""
    typed = ["DATA.PATH_TO_DATA_DIR", str(folder), *LOCALIZING, "SOLVER.MAX_EPOCH", "1"]
    done = run_net(tmp_path / "two", *typed, "VTN.CPU_PROCESSES", "2", "TEST.ENABLE", "False")
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            "TRAIN.DATASET vtnkinetics",
            "TRAIN.DATASET is 'vtnkinetics': with VTN.LOCALIZATION_SCALES only",
        ),
        ("TEST.NUM_SPATIAL_CROPS 3", "TEST.NUM_SPATIAL_CROPS is 3: with VTN.LOCALIZATION_SCALES"),
        ("VTN.SHUFFLE_FRAMES True", "VTN.SHUFFLE_FRAMES is True: with VTN.LOCALIZATION_SCALES"),
        ("VTN.LOCALIZATION_SCALES -1", "VTN.LOCALIZATION_SCALES must be an integer of 0 or more, not -1"),
        (
            "VTN.SEQUENCE_ENCODER bert",
            "VTN.LOCALIZATION_SCALES cannot be had with VTN.SEQUENCE_ENCODER",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(cfg_of, keys, words):
    with pytest.raises(InputError, match=words):
        cfg_of(*keys.split())


def test_segments_of_a_model_without_training_are_there(cfg_of, tmp_path):
    loops.test(cfg_of(*UNTRAINED))
    assert "mAP" in json.loads((tmp_path / "out/test_results.json").read_text())


def test_found_segments_of_all_videos_are_those_of_the_model(cfg_of):
    """Batches of six and of one are as each by itself."""
    cfg = cfg_of()
    model = make_model(cfg).eval()
    for weight in model.localization_head.parameters():
        weight.data.mul_(2)  # so that scores are not nearly the same
    segments = FoundSegments(model, cfg)
    with torch.no_grad():
        for loaded in construct_loader(cfg, "test"):
            segments.add(model(Batch(loaded, torch.device("cpu")).inputs), loaded)
        dataset = construct_loader(cfg, "test").dataset
        frames, frame_indices, _ = dataset[6][0]
        features = model.features_of(frames)
        (alone,) = segments_of(model.localize(features, frame_indices[None]), model.points(12))
    moments = moments_of_places(alone.spans.double(), 58, 12) / 25
    torch.testing.assert_close(segments.found[6].spans[:3], moments[:3], atol=1e-4, rtol=1e-4)
    assert segments.found[6].labels[:3].tolist() == alone.labels[:3].tolist()
