"""Runs on stored features give what runs on decoded videos give, and run no backbone."""

import numpy as np
import pytest

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
