"""What Predictor.explain says, against the plain model that is fed by hand."""

import io
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from predictions import FULL, MULTI, NAMES
from tiny_runs import ROOT
from videos import make_video, overwrite_packets, read_number

from slowfast_ext.predict import Predictor, stream
from slowfast_ext.predict.explain import stretch_seconds
from slowfast_ext.video import VideoReader
from vtn.errors import InputError

MANY = (*FULL, "TRAIN.EVAL_NUM_FRAMES", "40")


def close(one, other, tolerance=1e-5) -> None:
    np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=0, atol=tolerance)


def features_by_hand(predictor, video, monkeypatch):
    """What the model was given by a call: features (P, N, D) and frame_indices (N,)."""
    seen = []
    classify = type(predictor.model).classify
    with monkeypatch.context() as patched:

        def noting(model, features, indices=None, **options):
            seen.append((features.clone(), indices.clone()))
            return classify(model, features, indices, **options)

        patched.setattr(type(predictor.model), "classify", noting)
        predictor(video)
    ((features, indices),) = seen
    return features, indices


@pytest.mark.parametrize("crops", [1, 3])
def test_attention_and_evidence_are_those_of_the_plain_model(trained, clips, monkeypatch, crops):
    """A video of 3 s, 40 of its 75 frames; each second is left out by hand."""
    _, path = trained(*MANY, "TEST.NUM_SPATIAL_CROPS", str(crops))
    predictor = Predictor(path)
    features, indices = features_by_hand(predictor, clips[4], monkeypatch)
    assert len(features) == crops
    found = predictor.explain(clips[4])
    with torch.inference_mode():
        logits, attention = predictor.model.classify(features, indices, return_attention=True)
        scores = logits.softmax(dim=1).mean(dim=0)
        without = []
        for second in range(3):
            kept = (indices[0] < 25 * second) | (indices[0] >= 25 * (second + 1))
            part = predictor.model.classify(features[:, kept], indices[:, kept])
            without.append(part.softmax(dim=1).mean(dim=0))
    close(found.prediction.scores, predictor(clips[4]).scores, 1e-6)
    close(found.attention, attention.mean(dim=0))
    close(found.evidence, torch.stack([scores - part for part in without]))
    assert np.abs(found.evidence).max() > 0.002  # far more than the tolerance
    assert found.stretches.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert found.frame_indices.tolist() == indices[0].tolist()
    close(found.times, indices[0] / 25)
    assert found.frames_mean.groups.tolist() == (indices[0] // 25).tolist()
    assert (found.remark, found.unread, found.prediction.frames_read) == ("", (), 40)


def test_a_short_video_has_the_sum_over_the_repetitions_of_a_frame(trained, clips, monkeypatch):
    """15 frames, each shown two or three times; all lie within a second, so tenths are left out."""
    _, path = trained(*MANY)
    predictor = Predictor(path)
    features, indices = features_by_hand(predictor, clips[0], monkeypatch)
    found = predictor.explain(clips[0])
    with torch.inference_mode():
        _, attention = predictor.model.classify(features, indices, return_attention=True)
        kept = indices[0] >= 3  # the first tenth of a second has frames 0, 1, 2
        part = predictor.model.classify(features[:, kept], indices[:, kept]).softmax(dim=1)[0]
    assert found.frame_indices.tolist() == list(range(15))
    for frame in range(15):
        close(found.attention[..., frame], attention[0][..., indices[0] == frame].sum(dim=-1))
        assert found.shares[frame] == pytest.approx(float((indices[0] == frame).sum()) / 40)
    close(found.stretches, [[k / 10, (k + 1) / 10] for k in range(6)])
    close(found.evidence[0], found.prediction.scores - part.numpy())


def test_a_video_is_decoded_and_encoded_once(trained, clips, monkeypatch):
    _, path = trained(*MANY)
    predictor, asked, encoded = Predictor(path), [], []
    decode = VideoReader.decode

    def noting(reader, frame_indices, *more):
        asked.extend(frame_indices)
        return decode(reader, frame_indices, *more)

    monkeypatch.setattr(VideoReader, "decode", noting)
    monkeypatch.setattr(stream, "_CHUNK", 7)
    predictor = Predictor(path)
    predictor.model.backbone.register_forward_pre_hook(lambda module, args: encoded.append(len(args[0])))
    predictor.explain(clips[4])
    assert len(asked) == sum(encoded) == 40
    assert max(encoded) == 7


def test_pictures_are_those_of_the_frames_the_right_way_up(trained, tmp_path):
    """Lying on its side in the file, with wide pixels; 300 frames are thinned to 150 pictures."""
    _, path = trained(*FULL, "TRAIN.EVAL_NUM_FRAMES", "300")
    video = make_video(tmp_path / "x.mp4", 300, fps=25, size=(96, 64), rotation=90, pixel_aspect=2)
    found = Predictor(path).explain(video)
    assert found.picture_frames.tolist() == list(range(0, 300, 2))
    for picture, frame in zip(found.pictures, range(0, 300, 2), strict=True):
        image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        assert read_number(cv2.resize(image, (96, 64), interpolation=cv2.INTER_NEAREST)) == frame
    height, width = image.shape[:2]
    assert sorted((height, width)) != [64, 96]  # its pixels were not square
    assert found.frame_indices.tolist() == list(range(300))


def test_times_are_those_at_which_frames_are_shown(trained, tmp_path):
    """The rate varies: ten frames come within a second, then for three none, the others one a second."""
    _, path = trained(*FULL)
    times = [*range(0, 1000, 100), *range(4000, 12000, 1000)]
    video = make_video(tmp_path / "x.mkv", 18, times=times, size=(64, 48))
    found = Predictor(path).explain(video)
    shown = found.frame_indices
    close(found.times, np.array(times)[shown] / 1000, 0.002)
    assert len(shown) < 12  # some are never on the screen when an even rate would show them
    for group, time in zip(found.frames_mean.groups, found.times, strict=True):
        begin, end = found.stretches[group]
        assert begin <= time < end == begin + 1
    assert len(found.stretches) < 10  # where no frame is, there is nothing to leave out


def test_what_cannot_be_read_is_told_in_seconds(trained, tmp_path):
    _, path = trained(*FULL, "TRAIN.EVAL_NUM_FRAMES", "30")
    video = make_video(tmp_path / "x.mp4", 75, fps=25, size=(64, 48), options={"g": "1", "bf": "0"})
    overwrite_packets(video, range(30, 40))
    found = Predictor(path).explain(video)
    assert "cannot be decoded" in found.prediction.missing
    ((begin, end),) = found.unread
    assert (begin, end) == pytest.approx((30 / 25, 40 / 25))
    assert not set(range(30, 40)) & set(found.frame_indices.tolist())
    page = found.page()
    assert "There are no frames from 1.20 s to 1.60 s" in page
    assert 'class="unread" style="left: 40%; right: calc(100% - 53.33%)"' in page


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("VTN.SHUFFLE_FRAMES", "True"), "random order"),
        (("VTN.SEQUENCE_ENCODER", "bert"), "'bert' of this model does not give its attention"),
        (None, "SlowFast looks at all frames together"),
    ],
)
def test_models_without_a_time_line_say_why(trained, clips, overrides, words):
    if overrides is None:
        demo = ROOT / "configs/Demo/SlowFast.yaml"
        _, path = trained(*FULL, "MODEL.NUM_CLASSES", "5", "NUM_GPUS", "0", config=demo)
    else:
        _, path = trained(*MANY, *overrides)
    predictor = Predictor(path)
    found = predictor.explain(clips[4])
    assert found.attention is found.stretches is found.evidence is None
    assert words in found.remark
    assert found.remark.startswith("There is no time line: ")
    if overrides != ("VTN.SHUFFLE_FRAMES", "True"):
        close(found.prediction.scores, predictor(clips[4]).scores)
    page = found.page()
    assert words.replace("'", "&#x27;") in page
    assert len(found.pictures) == len(found.frame_indices)
    assert "<svg" not in page


def test_in_low_precision_evidence_is_in_float32(trained, clips):
    _, path = trained(*MANY)
    found = Predictor(path, overrides=["ENGINE", "own", "TEST.PRECISION", "bfloat16"]).explain(clips[4])
    close(found.evidence, Predictor(path).explain(clips[4]).evidence, 0.002)


def test_files_and_frames_in_memory(trained, clips):
    _, path = trained(*MANY)
    predictor = Predictor(path)
    frames = VideoReader(clips[4]).read(range(75))
    wanted = predictor.explain(str(clips[4]))
    for found in (
        predictor.explain(frames.numpy(), fps=25),
        predictor.explain(io.BytesIO(clips[4].read_bytes())),
    ):
        close(found.evidence, wanted.evidence, 1e-4)
        assert found.page()


def test_one_frame(trained):
    _, path = trained(*FULL)
    found = Predictor(path).explain(np.full((1, 48, 64, 3), 99, np.uint8), fps=25)
    assert (found.attention.shape[-1], len(found.stretches), found.shares.tolist()) == (1, 1, [1.0])
    assert found.page()


@pytest.mark.parametrize(
    ("seconds", "length"),
    [(0.0, 0.1), (0.96, 0.1), (1.0, 1), (120, 1), (121, 2), (7200, 60), (10**6, 10**6 / 120)],
)
def test_how_long_the_stretches_are(seconds, length):
    assert stretch_seconds(torch.tensor([5.0, 5.0 + seconds], dtype=torch.float64)) == length


def test_what_cannot_be_explained_is_refused(trained, clips, tmp_path):
    _, path = trained(*MULTI)
    with pytest.raises(InputError, match="this configuration takes 2 clips of it: choose the views 'full'"):
        Predictor(path).explain(clips[4])
    assert Predictor(path, views="full").explain(clips[4]).evidence is not None
    predictor = Predictor(path, views="full")
    predictor.cfg.defrost()
    predictor.cfg.VTN.FEATURES = str(tmp_path)
    with pytest.raises(InputError, match="leave the features out"):
        predictor.explain(clips[4])


def test_two_models_must_have_looked_at_the_same_frames(trained, clips):
    _, path = trained(*MANY)
    found = Predictor(path).explain(clips[4])
    other = Predictor(path, overrides=["TRAIN.EVAL_NUM_FRAMES", "30"]).explain(clips[4])
    with pytest.raises(InputError, match="the two models look at different frames of .*4.mp4"):
        found.page(beside=other)
    broken = replace(found, prediction=replace(found.prediction, scores=None, error="not finite"))
    with pytest.raises(InputError, match=r"there is no page of .*4\.mp4: not finite"):
        broken.page()


def test_two_models_of_other_classes_have_their_own_on_the_page(trained, clips, tmp_path):
    _, path = trained(*MANY)
    _, other = trained(*MANY, "MODEL.NUM_CLASSES", "3", "DATA.PATH_TO_DATA_DIR", str(tmp_path), name="other")
    one, two = Predictor(path).explain(clips[4]), Predictor(other).explain(clips[4])
    page = replace(one, prediction=replace(one.prediction, class_names=None)).page(beside=two)
    assert re.findall(r'"classes":(\[.*?\])', page) == [
        json.dumps([f"class {label}" for label in np.argsort(-found.prediction.scores)]).replace(", ", ",")
        for found in (one, two)
    ]


def test_segments_have_the_names_of_their_classes(trained, clips):
    _, path = trained(*MANY)
    part = SimpleNamespace(begin=0.5, end=1.25, label=3, score=0.75)
    page = replace(Predictor(path).explain(clips[4]), segments=(part,)).page()
    assert NAMES[3] == "fall & rise"
    assert "fall &amp; rise, 0.50 s to 1.25 s, score 0.750" in page


def test_a_notebook_shows_the_page_in_a_frame(trained, clips):
    _, path = trained(*MANY)
    found = Predictor(path).explain(clips[4])
    shown = found._repr_html_()
    assert shown.startswith("<iframe title=")
    assert shown.count("<") == 2  # all of the page is in an attribute
    assert 'sandbox="allow-scripts"' in shown
