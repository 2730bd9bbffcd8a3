"""tools/predict.py --live: what it says of a video that is read while it comes."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from predictions import FULL, NAMES, moving
from tiny_runs import ROOT
from videos import make_video

import vtn
from slowfast_ext.predict import Predictor
from slowfast_ext.predict.command import predict
from slowfast_ext.predict.live import LiveAnswers
from slowfast_ext.video import VideoReader, to_clip
from slowfast_ext.video.live import LiveVideo
from vtn.errors import InputError

ONE_LAYER = (*FULL, "VTN.NUM_HIDDEN_LAYERS", "1")
STEP = 4  # of 25 frames per second 25 / 4 are looked at: TARGET_FPS and SAMPLING_RATE of the tiny run


@torch.inference_mode()
def by_hand(checkpoint: str, video: Path, first: int = 0, end: int | None = None, step: int = STEP):
    """Scores (K,) of the plain model for every STEP-th frame of some; their numbers count from `first`."""
    model, reader = vtn.create_model(checkpoint=checkpoint).eval(), VideoReader(video)
    wanted = torch.arange(first, reader.num_frames if end is None else end, step)
    clip = to_clip(reader.read(wanted), model.recipe, pixel_aspect=reader.info.pixel_aspect)
    return model(clip, wanted[None] - first).softmax(dim=1)[0].numpy()


def scores_of(lines: list[str]) -> np.ndarray:
    """(K,) from lines of scores and names."""
    told = dict(reversed(line.strip().split("  ", 1)) for line in lines)
    return np.array([float(told[name]) for name in NAMES])


def final(text: str) -> tuple[str, np.ndarray]:
    """The heading of the final answer, and its scores (K,)."""
    *_, heading, a, b, c, d, e = text.rstrip().split("\n")
    return heading, scores_of([a, b, c, d, e])


def start(*words: str, **more) -> subprocess.Popen:
    line = [sys.executable, "tools/predict.py", *words]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen(line, cwd=ROOT, **pipes | more)


@pytest.fixture(scope="module")
def streams(tmp_path_factory) -> dict[str, Path]:
    """The same 110 pictures as MPEG-TS and as Matroska."""
    folder = tmp_path_factory.mktemp("streams")
    return {
        kind: make_video(folder / f"x.{kind}", 110, fps=25, size=(64, 48), picture=moving)
        for kind in ("ts", "mkv")
    }


@pytest.mark.parametrize("kind", ["ts", pytest.param("mkv", marks=pytest.mark.slow)])
@pytest.mark.timeout(150)
def test_a_slow_pipe_gives_what_the_plain_model_gives(trained, streams, kind):
    _, path = trained(*ONE_LAYER)
    program, content = start(path, "--live", "-"), streams[kind].read_bytes()

    def write() -> None:
        for begin in range(0, len(content), 3000):
            program.stdin.write(content[begin : begin + 3000])
            program.stdin.flush()
            time.sleep(0.01)
        program.stdin.close()

    writer = threading.Thread(target=write)
    writer.start()
    told, errors = program.stdout.read().decode(), program.stderr.read().decode()
    writer.join()
    assert (program.wait(60), errors) == (0, "")
    heading, scores = final(told)
    assert heading == "standard input (28 of 110 frames, 4.4 s)"
    np.testing.assert_allclose(scores, by_hand(path, streams[kind]), rtol=0, atol=1e-4)
    first, second = told.split("\n")[:2]
    for line, end in ((first, 50), (second, 100)):  # of 2 and of 4 seconds
        wanted = by_hand(path, streams[kind], end=end)
        assert line.startswith(f"      0.00 to {end / 25:8.2f} s  ")
        assert line.endswith(NAMES[wanted.argmax()])
        assert float(line.split()[4]) == pytest.approx(wanted.max(), abs=1e-4)


def test_a_file_and_a_fifo_give_the_same(trained, streams, tmp_path, capsys):
    _, path = trained(*ONE_LAYER)
    capsys.readouterr()  # PySlowFast main has counted weights
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(streams["ts"].read_bytes()))
    writer.start()
    assert predict([path, "--live", str(fifo)]) == 0
    writer.join()
    of_fifo = capsys.readouterr().out
    assert predict([path, "--live", str(streams["ts"])]) == 0
    of_file = capsys.readouterr().out
    assert of_fifo.replace(str(fifo), str(streams["ts"])) == of_file
    np.testing.assert_allclose(final(of_file)[1], by_hand(path, streams["ts"]), rtol=0, atol=1e-4)


def test_windows_forget_and_the_rate_may_be_another(trained, streams, capsys):
    """Windows of 1.6 s are 40 frames; at 12.5 of 25 frames per second each second one is looked at."""
    _, path = trained(*ONE_LAYER)
    capsys.readouterr()  # PySlowFast main has counted weights
    live = [path, "--live", str(streams["mkv"]), "--window", "1600ms", "--every", "1s", "--top", "5"]
    assert predict([*live, "--rate", "12.5"]) == 0
    told = capsys.readouterr().out
    lines = told.split("\n")[:-7]
    heading, last = final(told)
    ends = [(0, 25), (0, 40), (40, 65), (40, 80), (80, 105)]
    assert len(lines) == len(ends)
    for line, (first, end) in zip(lines, ends, strict=True):
        parts = line.split("  ")
        times = re.search(r"(\d+\.\d\d) to +(\d+\.\d\d) s", line)
        assert [round(float(text) * 25) for text in times.groups()] == [first, end]
        scores = scores_of([f"{parts[k]}  {parts[k + 1]}" for k in range(len(parts) - 10, len(parts), 2)])
        np.testing.assert_allclose(scores, by_hand(path, streams["mkv"], first, end, 2), rtol=0, atol=1e-4)
    assert heading == f"{streams['mkv']} (55 of 110 frames, 4.4 s; the answer is since 3.2 s)"
    np.testing.assert_allclose(last, by_hand(path, streams["mkv"], 80, step=2), rtol=0, atol=1e-4)


def test_three_places_of_the_crop_are_averaged(trained, streams):
    """As in a test; three streams, each exact, so the mean is that of a Predictor for the same frames."""
    _, path = trained(*ONE_LAYER, "TEST.NUM_SPATIAL_CROPS", "3", "TRAIN.EVAL_NUM_FRAMES", "110")
    predictor = Predictor(path)
    answers = LiveAnswers(predictor, str(streams["mkv"]), rate=25)
    list(answers)
    wanted = predictor(streams["mkv"])
    assert (wanted.views, wanted.frames_read, answers.num_looked) == (3, 110, 110)
    np.testing.assert_allclose(answers.latest().scores, wanted.scores, rtol=0, atol=1e-5)
    centre = Predictor(path, overrides=["TEST.NUM_SPATIAL_CROPS", "1"])(streams["mkv"]).scores
    assert np.abs(centre - wanted.scores).max() > 1e-3


@torch.inference_mode()
def test_more_layers_say_that_they_approximate(trained, streams, capsys):
    _, path = trained(*FULL, "VTN.NUM_HIDDEN_LAYERS", "3")
    capsys.readouterr()  # PySlowFast main has counted weights
    assert predict([path, "--live", str(streams["mkv"])]) == 0
    told = capsys.readouterr().out
    assert told.startswith("this model has 3 temporal layers: while a video runs its answers are an approx")
    model, reader = vtn.create_model(checkpoint=path).eval(), VideoReader(streams["mkv"])
    wanted = torch.arange(0, 110, STEP)
    stream = vtn.CausalStreaming(model)
    stream.push(to_clip(reader.read(wanted), model.recipe)[0].transpose(0, 1), wanted)
    np.testing.assert_allclose(final(told)[1], stream.logits().softmax(0), rtol=0, atol=1e-4)


def test_a_device_is_opened_by_its_format(trained, capsys):
    """A picture that FFmpeg makes up: what cameras are opened by, without a camera."""
    _, path = trained(*ONE_LAYER)
    capsys.readouterr()  # PySlowFast main has counted weights
    source = "testsrc=size=64x48:rate=25:duration=1"
    assert predict([path, "--live", source, "--format", "lavfi"]) == 0
    assert final(capsys.readouterr().out)[0] == f"{source} (7 of 25 frames, 1.0 s)"


def test_what_was_read_before_the_end_in_the_middle_counts(trained, streams, tmp_path, capsys):
    _, path = trained(*ONE_LAYER)
    capsys.readouterr()  # PySlowFast main has counted weights
    cut = tmp_path / "cut.mkv"
    content = streams["mkv"].read_bytes()
    cut.write_bytes(content[: len(content) * 6 // 10])
    assert predict([path, "--live", str(cut)]) == 0
    heading, scores = final(capsys.readouterr().out)
    assert re.search(
        r"cut.mkv \(\d+ of \d+ frames, .*\): it states 4.40 s of video and holds \d.\d\d s", heading
    )
    assert scores.sum() == pytest.approx(1, abs=1e-3)
    holes = bytearray(streams["ts"].read_bytes())
    holes[len(holes) // 2 : len(holes) // 2 + 5000] = bytes(5000)
    (tmp_path / "holes.ts").write_bytes(holes)
    assert predict([path, "--live", str(tmp_path / "holes.ts")]) == 0
    heading, _ = final(capsys.readouterr().out)
    assert re.search(r"holes.ts \(\d+ of \d+ frames, 4.4 s\): .*its times jump ahead in 1 place", heading)


@pytest.mark.timeout(150)
def test_ctrl_c_gives_the_last_answer(trained, streams):
    _, path = trained(*ONE_LAYER)
    program = start(path, "--live", "-", "--every", "1s")
    program.stdin.write(streams["ts"].read_bytes())
    program.stdin.flush()  # and the pipe stays open: more may come
    first = program.stdout.readline().decode()
    assert re.match(r"      0.00 to     1.00 s  0.\d{4}  \w", first)
    assert program.stdout.readline().startswith(b"      0.00 to     2.00 s")
    time.sleep(0.5)
    program.send_signal(signal.SIGINT)
    told, errors = program.communicate(timeout=60)
    assert program.returncode == 130
    assert errors.decode() == "\ninterrupted: this is the answer so far\n"
    assert final(told.decode())[0].startswith("standard input (2")


@pytest.mark.timeout(150)
@pytest.mark.slow
def test_ctrl_c_before_the_first_frame(trained):
    _, path = trained(*ONE_LAYER)
    program = start(path, "--live", "-")
    time.sleep(0.2)
    while "live" not in threads_of(program.pid):
        assert program.poll() is None
        time.sleep(0.05)
    program.send_signal(signal.SIGINT)
    told, errors = program.communicate(timeout=60)
    assert (program.returncode, told) == (130, b"")
    assert errors.decode().endswith("no frame was looked at\n")


def threads_of(process: int) -> str:
    """How far it is: whether its standard input is being read."""
    waiting = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/wchan")]
    return "live" if any("pipe" in name for name in waiting) else ""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("gone.ts", r"gone.ts cannot be opened: No such file or directory"),
        ("http://127.0.0.1:1/x.ts", r"http://127.0.0.1:1/x.ts cannot be opened: Connection refused"),
        ("nope://x", r"nope://x cannot be opened: Protocol not found"),
        ("/dev/null", "/dev/null is no file and no pipe: name the kind of a device"),
        (".", ". is no file and no pipe"),
        (__file__, "test_live.py is no video that can be read in order"),
    ],
)
def test_a_bad_source_is_one_sentence(source, says):
    with pytest.raises(InputError, match=says):
        list(LiveVideo(source).frames(1.0))


@pytest.mark.slow
def test_a_bad_pipe_or_command_line_is_one_sentence(trained, streams, tmp_path):
    _, path = trained(*ONE_LAYER)
    done = subprocess.run(
        [sys.executable, "tools/predict.py", path, "--live", "-"],
        cwd=ROOT,
        input=b"no video at all" * 100,
        capture_output=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert re.fullmatch(rb"error: standard input is no video that can be read in order: .*\n", done.stderr)
    video = str(streams["ts"])
    for words, says in [
        ([video, "--live", video], "--live looks at one source"),
        (["--live", video, "--out", "x.csv"], "--live looks at one source"),
        (["--live", video, "--features", "x"], "--live looks at one source"),
        ([video, "--rate", "3"], "--rate and --format are for --live"),
        (["--live", video, "--rate", "0"], "rate is 0.0: it must be more than 0"),
        (["--live", video, "--window", "100ms"], "it would hold no frame"),
        (["--live", video, "--every", "0"], "every is 0.0: it must be more than 0 seconds"),
        (["--live", video, "--format", "nope"], "cannot be opened: no container format 'nope'"),
    ]:
        with pytest.raises(InputError, match=says):
            predict([path, *words])


def test_a_playlist_in_a_file_leads_nowhere(streams, tmp_path):
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:4.4,\n{streams['ts']}\n#EXT-X-ENDLIST\n")
    with pytest.raises(InputError, match="no video that can be read in order"):
        list(LiveVideo(str(playlist)).frames(1.0))


def test_other_models_are_refused(streams):
    class NoVtn:
        model = torch.nn.Identity()
        from slowfast_ext.config import get_cfg

        cfg = get_cfg()
        cfg.MODEL.MODEL_NAME = "ResNet"

    with pytest.raises(InputError, match="--live is for VTN, and this checkpoint is of ResNet"):
        LiveAnswers(NoVtn(), str(streams["ts"]))


def test_times_that_begin_anew_go_on(trained, streams, tmp_path):
    """A stream that is played again: its frames follow the others, and it is said."""
    twice = tmp_path / "twice.ts"
    twice.write_bytes(streams["ts"].read_bytes() * 2)
    video = LiveVideo(str(twice))
    frames = list(video.frames(6.25))
    seconds = [frame.seconds for frame in frames]
    assert seconds == sorted(seconds)
    assert seconds[-1] == pytest.approx(len(frames) / 25, abs=0.2)
    assert "its times go back in 1 place" in video.missing


@pytest.mark.slow
def test_memory_does_not_grow(trained, tmp_path):
    """After a first part, Python's memory stays; the pictures alone would be 9 MB."""
    _, path = trained(*ONE_LAYER)
    source = "testsrc=size=64x48:rate=25:duration=40"
    answers, sizes = LiveAnswers(Predictor(path), source, kind="lavfi", rate=25, every=5.0), []
    tracemalloc.start()
    try:
        for _ in answers:
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(sizes) == 7
    assert sizes[-1] - sizes[1] < 100_000
