"""A Predictor says what the run's test and the plain model say of the same videos."""

import io
import os
import weakref

import av
import numpy as np
import pytest
import torch
from pages import blocks
from predictions import FULL, MULTI, NAMES

import vtn
from slowfast_ext.predict import Predictor, stream
from slowfast_ext.predict.answers import best_classes
from slowfast_ext.video import VideoReader
from vtn.errors import InputError


def close(one, other) -> None:
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


@pytest.mark.parametrize("views", [FULL, MULTI], ids=["full", "multi"])
def test_scores_and_order_are_those_of_the_test(trained, tested, clips, views):
    cfg, path = trained(*views)
    wanted = tested(cfg, path)
    assert np.ptp([scores.max() for scores in wanted.values()]) > 0.01  # the videos differ
    predictor = Predictor(path)
    assert predictor.class_names == NAMES
    names = [str(clip) for clip in clips]
    for batch_size, workers in [(1, 0), (4, 2), (32, 0)]:
        found = Predictor(path, batch_size=batch_size).predict_files(names, num_workers=workers)
        found = {prediction.path: prediction for prediction in found}
        assert found.keys() == wanted.keys()
        for name, scores in wanted.items():
            close(found[name].scores, scores)
            order = np.argsort(-scores)
            assert [label for label, _ in found[name].top(5)] == [NAMES[label] for label in order]
    for name in names:
        close(predictor(name).scores, wanted[name])


def test_full_video_and_several_views_may_be_chosen(trained, tested, clips):
    cfg, path = trained(*FULL)
    keys = "TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 3".split()
    predictor = Predictor(path, views="multi", overrides=keys)
    prediction = predictor(clips[3])
    assert prediction.views == 6
    close(prediction.scores, tested(cfg, path, *MULTI)[str(clips[3])])
    assert Predictor(path, views="multi")(clips[3]).views == 30
    _, path = trained(*MULTI, name="multi")
    assert Predictor(path)(clips[3]).views == 6
    assert Predictor(path, views="full")(clips[3]).views == 1


@torch.inference_mode()
def test_scores_are_those_of_the_plain_model_fed_by_hand(trained, clips):
    """Decoded with av, cut and normalised here, and given to a vtn.VTN."""
    _, path = trained(*FULL)
    model = vtn.create_model(checkpoint=path).eval()
    video = clips[4]  # 75 frames of 64 x 48: short side 40, so 53 x 40; the centre is 32 x 32
    with av.open(str(video)) as container:
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    wanted = torch.linspace(0, 74, 12).long()
    pictures = torch.stack(frames)[wanted].permute(0, 3, 1, 2)
    pictures = torch.nn.functional.interpolate(pictures, size=(40, 53), mode="bilinear")
    pictures = pictures[:, :, 4:36, 11:43].float() / 255
    mean, std = (torch.tensor(values)[:, None, None] for values in model.normalization)
    clip = ((pictures - mean) / std).transpose(0, 1)[None]
    scores = model(clip, wanted[None]).softmax(dim=1)[0]
    # The grid of pixels may be off by 1/64 of a pixel, see take_view.
    np.testing.assert_allclose(Predictor(path)(video).scores, scores, rtol=0, atol=2e-3)


def test_the_three_lines_of_the_page(trained, clips, tmp_path, monkeypatch):
    _, path = trained(*FULL)
    monkeypatch.chdir(tmp_path)
    os.link(path, "checkpoint.pyth")
    os.link(clips[3], "video.mp4")
    (code,) = blocks("docs/predict.md", "python")
    names: dict = {}
    exec(code, names)
    top = names["predictor"]("video.mp4").top(5)
    assert sorted(name for name, _ in top) == sorted(NAMES)
    assert [score for _, score in top] == sorted((score for _, score in top), reverse=True)


def test_memory_holds_one_chunk_of_a_whole_video(trained, clips, monkeypatch):
    """Whatever the length of the video, no more squares of pixels are alive than a chunk has."""
    _, path = trained(*FULL)
    alive, most = set(), []
    cut = stream.cut_squares

    def counting(picture, views):
        squares = cut(picture, views)
        alive.add(id(squares))
        weakref.finalize(squares, alive.discard, id(squares))
        most.append(len(alive))
        return squares

    monkeypatch.setattr(stream, "cut_squares", counting)
    predictor = Predictor(path, frames_per_chunk=5, overrides=["TRAIN.EVAL_NUM_FRAMES", "75"])
    list(predictor.predict_files([str(clips[4])]))
    assert len(most) == 75
    assert max(most) <= 5
    most.clear()
    predictor(clips[4], window=1.0, every=0.2)
    assert len(most) == 75
    assert max(most) <= 5


@pytest.mark.parametrize("views", [FULL, MULTI], ids=["full", "multi"])
def test_a_file_object_an_array_a_tensor_and_an_iterator_are_the_file(trained, clips, views):
    _, path = trained(*views)
    predictor, video = Predictor(path), clips[2]
    wanted = predictor(video)
    reader = VideoReader(video)
    frames = reader.read(range(reader.num_frames))
    close(predictor(io.BytesIO(video.read_bytes())).scores, wanted.scores)
    with video.open("rb") as file:
        close(predictor(file).scores, wanted.scores)
    for given in (frames, frames.numpy(), iter(frames), (frame.numpy() for frame in frames)):
        found = predictor(given, fps=25)
        close(found.scores, wanted.scores)
        assert (found.num_frames, found.frames_read) == (wanted.num_frames, wanted.frames_read)


@pytest.mark.parametrize(
    ("frames", "fps", "says"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), 25, "of uint8"),
        (np.zeros((8, 8, 3), np.uint8), 25, "of uint8"),
        (np.zeros((0, 8, 8, 3), np.uint8), 25, "at least one"),
        (np.zeros((2, 8, 8, 3), np.uint8), None, "fps is None"),
        (np.zeros((2, 8, 8, 3), np.uint8), 0, "fps is 0"),
        (iter([]), 25, "at least one"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)], 25, "different shapes"),
        (7, 25, "int is no video"),
    ],
)
def test_frames_that_cannot_be_used(trained, frames, fps, says):
    _, path = trained(*FULL)
    with pytest.raises(InputError, match=says):
        Predictor(path)(frames, fps=fps)


@pytest.mark.parametrize("views", [FULL, MULTI], ids=["full", "multi"])
def test_windows_are_what_windows_cut_by_hand_are(trained, clips, views):
    """75 frames at 25 per second: windows of 1 s every 0.6 s begin at 0, 15, 30, 45 and, at the end, 50."""
    _, path = trained(*views)
    predictor = Predictor(path)
    frames = VideoReader(clips[4]).read(range(75))
    found = predictor(clips[4], window=1.0, every=0.6)
    assert [round(part.begin * 25) for part in found.windows] == [0, 15, 30, 45, 50]
    assert [round(part.end * 25) for part in found.windows] == [25, 40, 55, 70, 75]
    for part in found.windows:
        begin, end = round(part.begin * 25), round(part.end * 25)
        close(part.scores, predictor(frames[begin:end], fps=25).scores)
    close(found.scores, np.mean([part.scores for part in found.windows], axis=0))
    assert len(predictor(clips[0], window=1.0).windows) == 1  # it is shorter
    assert len(predictor(clips[4], every=1.0).windows) == 3


def test_a_long_video_is_decoded_once_for_all_windows(trained, clips, monkeypatch):
    _, path = trained(*FULL)
    predictor, asked = Predictor(path), []
    decode = VideoReader.decode

    def noting(reader, frame_indices, *more):
        asked.extend(frame_indices)
        return decode(reader, frame_indices, *more)

    monkeypatch.setattr(VideoReader, "decode", noting)
    encoded = []
    predictor.model.backbone.register_forward_pre_hook(lambda module, args: encoded.append(len(args[0])))
    predictor(clips[4], window=1.0, every=0.2)
    assert len(asked) == len(set(asked)) == sum(encoded)


@pytest.mark.parametrize("reuse", ["0.0", "0.05"])
def test_scores_in_chunks_are_those_of_the_test(trained, tested, clips, reuse):
    cfg, path = trained(*FULL, "VTN.REUSE_FRAMES", reuse)
    wanted = tested(cfg, path)
    predictor, seen = Predictor(path, frames_per_chunk=5), []
    predictor.model.backbone.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    for prediction in predictor.predict_files([str(clip) for clip in clips]):
        close(prediction.scores, wanted[prediction.path])
    assert max(seen) <= 5
    assert len(seen) > len(clips)


def test_a_damaged_video_says_how_much_was_read(trained, clips, tmp_path):
    _, path = trained(*FULL)
    half = tmp_path / "half.mp4"
    content = clips[4].read_bytes()
    _faststart(clips[4], half, content)
    predictor = Predictor(path)
    (loaded,) = predictor.predict_files([str(half)], num_workers=0)
    for prediction in (loaded, predictor(half), predictor(half, window=0.4)):
        assert 0 < prediction.num_frames < 75
        assert prediction.missing
        assert prediction.scores.sum() == pytest.approx(1, abs=1e-4)


def _faststart(video, half, content: bytes) -> None:
    """Write the first half of a video whose index stands at its beginning."""
    with av.open(str(video)) as source, av.open(str(half), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    os.truncate(half, len(content) * 2 // 3)


def test_what_cannot_be_read_does_not_stop_the_rest(trained, clips, tmp_path):
    _, path = trained(*FULL)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"no video")
    names = [str(clips[0]), str(bad), str(clips[1])]
    for options in ({"num_workers": 0}, {"num_workers": 2}, {"window": 0.5}):
        found = {
            prediction.path: prediction for prediction in Predictor(path).predict_files(names, **options)
        }
        assert found.keys() == set(names)
        assert [name for name in names if found[name].error] == [str(bad)]
        assert str(bad) in found[str(bad)].error
        assert found[str(bad)].top() == []


def test_scores_that_are_not_finite_are_told(trained, clips):
    _, path = trained(*FULL)
    predictor = Predictor(path)
    predictor.model.mlp_head[-1].bias.data.fill_(float("nan"))
    assert "not finite" in predictor(clips[0]).error


def test_best_classes_take_the_first_of_equals():
    assert best_classes(np.array([0.2, 0.4, 0.4, 0.0]), 3) == [1, 2, 0]
