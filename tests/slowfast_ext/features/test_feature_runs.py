"""Runs on stored features give what runs on decoded videos give, and run no backbone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from slowfast_ext.data.build import construct_loader
from slowfast_ext.data.segment_videos import StoredSegments, Vtnsegments
from slowfast_ext.models import VTN
from slowfast_ext.predict import Predictor
from vtn.errors import InputError


@pytest.fixture
def no_backbone(monkeypatch):
    """From now on, no frame may be encoded."""

    def forbid() -> None:
        def fail(*args, **kwargs):
            raise AssertionError("a frame is encoded")

        monkeypatch.setattr(VTN, "distinct_frame_features", fail)
        monkeypatch.setattr("slowfast_ext.data.dataset.VideoReader", fail)

    return forbid


def assert_same_scores(found, wanted) -> None:
    assert found.keys() == wanted.keys()
    for path, scores in wanted.items():
        np.testing.assert_allclose(found[path], scores, atol=1e-5)
    assert np.ptp(np.stack(list(wanted.values())), axis=0).max() > 0.01  # videos differ


@pytest.mark.parametrize("options", [(), ("--all-frames",)], ids=["full video", "all frames"])
@pytest.mark.parametrize("workers", ["0", "2"])
def test_scores_of_a_full_video(extracted, tested, no_backbone, options, workers):
    folder = extracted("--workers", workers, *options)
    wanted = tested()
    no_backbone()
    assert_same_scores(tested("VTN.FEATURES", str(folder)), wanted)


def test_scores_of_clips_of_all_frames(extracted, tested, no_backbone):
    folder = extracted("--all-frames")
    views = "TRAIN.EVAL_FULL_VIDEO False TEST.NUM_ENSEMBLE_VIEWS 3".split()
    wanted = tested(*views)
    no_backbone()
    assert_same_scores(tested(*views, "VTN.FEATURES", str(folder)), wanted)


@pytest.mark.parametrize("protocol", ["True", "False"])
def test_a_training_is_that_on_decoded_frames(extracted, losses, no_backbone, protocol):
    authors = "VTN.AUTHORS_PROTOCOL", protocol, "DATA.MEAN", "[0.5, 0.5, 0.5]", "DATA.STD", "[0.5, 0.5, 0.5]"
    wanted = losses(*authors, name="decoded")
    folder = extracted("--all-frames", *authors)
    no_backbone()
    found = losses(*authors, "VTN.FEATURES", str(folder), name="stored")
    numbers = [
        [line[key] for line in lines for key in ("loss", "top1_err") if key in line]
        for lines in (found, wanted)
    ]
    assert len(numbers[0]) == len(numbers[1]) > 6
    np.testing.assert_allclose(*numbers, rtol=1e-4, atol=1e-5)
    assert len(set(numbers[1])) > 3


def test_predictions(extracted, trained, clips, no_backbone):
    folder = extracted()
    wanted = {str(path): Predictor(trained)(path).scores for path in clips}
    no_backbone()
    predictor = Predictor(trained, features=folder)
    found = {p.path: p for p in predictor.predict_files(list(wanted))}
    assert_same_scores({path: p.scores for path, p in found.items()}, wanted)
    assert (found[str(clips[5])].num_frames, found[str(clips[5])].frames_read) == (70, 12)
    np.testing.assert_allclose(predictor(clips[2]).scores, wanted[str(clips[2])], atol=1e-5)
    with pytest.raises(InputError, match="features of whole files, so no windows"):
        predictor(clips[2], window=1.0)


def test_whole_videos_with_segments(extracted, losses, tested, run_config, no_backbone):
    """One store serves the three lists where all splits look at as many frames; items have the same meta."""
    keys = "TRAIN.DATASET vtnsegments TEST.DATASET vtnsegments DATA.NUM_FRAMES 12".split()
    cfg = run_config(*keys)
    folder = Path(cfg.DATA.PATH_TO_DATA_DIR)
    (folder / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    rows = [row.rsplit(" ", 1) for row in (folder / "train.csv").read_text().splitlines()]
    annotations = {path: [{"segment": [0.1, 0.5], "label": "abcde"[int(label)]}] for path, label in rows}
    database = {path: {"annotations": found} for path, found in annotations.items()}
    (folder / "segments.json").write_text(json.dumps({"database": database}))
    wanted, scores = losses(*keys, name="decoded"), tested(*keys)
    decoded = [Vtnsegments(cfg, mode)[3] for mode in ("train", "val", "test")]
    features = extracted()
    no_backbone()
    stored_keys = *keys, "VTN.FEATURES", str(features)
    assert_same_scores(tested(*stored_keys), scores)
    found = losses(*stored_keys, name="stored")
    numbers = [[line["loss"] for line in lines if "loss" in line] for lines in (found, wanted)]
    assert len(numbers[0]) == len(numbers[1]) > 3
    np.testing.assert_allclose(*numbers, rtol=1e-4, atol=1e-5)
    cfg = run_config(*stored_keys)
    for mode, item in zip(("train", "val", "test"), decoded, strict=True):
        dataset = construct_loader(cfg, mode).dataset
        dataset.use(
            json.loads((features / "manifest.jsonl").read_text().splitlines()[0])["settings"]["weights"]
        )
        again = dataset[3]
        assert isinstance(dataset, StoredSegments)
        assert torch.equal(again[0][1], item[0][1])
        assert item[4]["segments"].tolist() == [[2.5, 12.5, 3]]
        assert item[4].keys() == again[4].keys()
        assert all(torch.equal(item[4][key], again[4][key]) for key in item[4])
    # Of another number of frames there are none, and the reason says so.
    with pytest.raises(InputError, match=r"the frames \(12 of a full video there, 8 of a full video here\)"):
        construct_loader(run_config(*stored_keys, "DATA.NUM_FRAMES", "8"), "train")
