"""The judge of tests/fuzz_videos.py: silent on what is right, and each fault leads to its finding."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from fuzzing.cases import Case, choose_cases, original
from fuzzing.checks import Finding, Truth, judge
from fuzzing.damages import DAMAGES
from fuzzing.evidence import find_evidence
from fuzzing.kinds import KINDS
from fuzzing.reading import Outcome, Pictures, Readings, read_every_way
from fuzzing.runner import death_of
from fuzzing.tasks import Lost
from fuzzing.watch import TOO_MUCH_MEMORY
from fuzzing.worker import Task, truth_of

TESTS = Path(__file__).resolve().parents[2]
NUM_FRAMES = 40
WAYS = ("in order", "training clip", "validation item", "preparation")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("undamaged")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_found_in_an_undamaged_video(folder, tmp_path, kind):
    readings = read_every_way(original(kind, folder), tmp_path, KINDS[kind], 1, lambda way: None)
    truth = truth_of(Case(0, kind, "none", None), folder)
    assert {way: outcome.outcome for way, outcome in readings.outcomes.items()} == dict.fromkeys(WAYS, "used")
    assert readings.pictures.painted.tolist() == truth.painted.tolist()
    assert readings.evidence == frozenset()
    assert judge(readings, truth) == []


def pictures(shown, frames=None):
    """Pictures that show these frames of the truth, under the numbers 0, 1, 2, ... or others."""
    small = np.array([look(number) for number in shown], np.float32)
    frames = range(len(shown)) if frames is None else frames
    return Pictures(small, np.array(shown), np.array(frames))


def look(number):
    """Six squares, black or white, that tell the number; of a damaged picture, -1, all are grey."""
    if number < 0:
        return np.full((2, 3), 128)
    return 255 * np.array([number >> bit & 1 for bit in range(6)]).reshape(2, 3)


@pytest.fixture
def truth():
    """Forty frames, ten a second."""
    shown = pictures(range(NUM_FRAMES))
    return Truth(shown.small, shown.painted, np.arange(NUM_FRAMES) / 10, NUM_FRAMES, 0.1, 0.0)


def readings_of(shown, times=None, **outcomes):
    """All four ways agree on used, with these frames at these times (tenths of a second); there are signs."""
    told = {way: Outcome("used") for way in WAYS} | {k.replace("_", " "): v for k, v in outcomes.items()}
    times = np.arange(len(shown)) if times is None else np.array(times)
    evidence = frozenset({"hole"})
    return Readings(told, pictures(shown), times / 10, len(shown), evidence=evidence)


def names(readings, truth):
    return [finding.name for finding in judge(readings, truth)]


ALL = list(range(NUM_FRAMES))


def test_the_right_frames_at_their_times(truth):
    assert names(readings_of(ALL), truth) == []
    # The first ones are lost, or a few in the middle, and the others keep their place.
    assert names(readings_of(ALL[8:]), truth) == []
    assert names(readings_of(ALL[:10] + ALL[18:], times=ALL[:10] + ALL[18:]), truth) == []


def test_silent_loss(truth):
    assert names(readings_of(ALL[:32]), truth) == []
    assert names(readings_of(ALL[:31]), truth) == ["silent loss", "clip of a lossy file used"]
    # A frame that is shown again in place of a lost one does not make up for it.
    frozen = ALL[:30] + [29] * 10
    assert {"silent loss", "clip of a lossy file used"} <= set(names(readings_of(frozen), truth))
    told = {way.replace(" ", "_"): Outcome("repaired", "half of it is gone") for way in WAYS}
    assert names(readings_of(ALL[:31], **told), truth) == []


def test_misplaced(truth):
    """Seven frames are lost in the middle, and what follows comes at once."""
    assert names(readings_of(ALL[:20] + ALL[27:]), truth) == ["misplaced"]
    # Five frames far from their place are few, six are not.
    assert names(readings_of(ALL[:28] + ALL[35:]), truth) == []
    assert names(readings_of(ALL[:27] + ALL[34:]), truth) == ["misplaced"]
    # Nor is it far where it is five frames off.
    assert names(readings_of(ALL[:20] + ALL[25:]), truth) == []
    assert names(readings_of(ALL[:20] + ALL[26:]), truth) == ["misplaced"]


def test_a_video_behind_another(truth):
    """Both are whole, with a gap between them, whatever its length."""
    both = replace(
        truth,
        small=np.concatenate([truth.small, truth.small]),
        painted=np.append(truth.painted, truth.painted),
        times=np.append(truth.times, truth.times),
    )
    assert names(readings_of(ALL + ALL), both) == []
    assert names(readings_of(ALL + ALL, times=ALL + [60 + number for number in ALL]), both) == []
    mixed = [number for number in ALL for _ in range(2)]
    assert names(readings_of(mixed), both) == ["misplaced"]


def test_wrong_pictures(truth):
    assert names(readings_of(ALL[:-8] + [-1] * 8), truth) == []
    assert names(readings_of(ALL[:-9] + [-1] * 9), truth) == ["wrong pictures"]


def test_without_a_sign_of_damage(truth):
    for shown, name in (
        (ALL[:31], "unnoticed loss"),
        (ALL[:20] + ALL[27:], "unnoticed places"),
        (ALL[:-9] + [-1] * 9, "unnoticed pictures"),
    ):
        readings = readings_of(shown)
        readings.evidence = frozenset()
        assert names(readings, truth) == [name]


def test_clips_of_a_lossy_file(truth):
    """What only decoding all of it tells need not be said of a clip that is whole."""
    readings = readings_of(ALL[:31], in_order=Outcome("repaired", "nine are missing"))
    readings.outcomes["preparation"] = readings.outcomes["in order"]
    assert names(readings, truth) == ["clip of a lossy file used"]
    readings.evidence = frozenset({"flag"})
    assert names(readings, truth) == ["clip beside the loss"]
    for way in ("training clip", "validation item"):
        readings.outcomes[way] = Outcome("repaired", "nine are missing")
    assert names(readings, truth) == []


def remuxed(source, target, left_out):
    """The same packets but for some, in another file of the same format."""
    with av.open(str(source)) as one, av.open(str(target), "w") as other:
        stream = other.add_stream_from_template(one.streams.video[0])
        for number, packet in enumerate(one.demux(video=0)):
            if packet.size and number not in left_out:
                packet.stream = stream
                other.mux(packet)
    return target


def test_signs_of_damage(folder, tmp_path):
    """A hole in the times, bytes that are no frame, a length that is not reached, a flag of the decoder."""
    kind = KINDS["webm vp8"]
    whole = original("webm vp8", folder)
    assert find_evidence(remuxed(whole, tmp_path / "same.webm", ()), kind) == frozenset()
    assert find_evidence(remuxed(whole, tmp_path / "hole.webm", range(20, 26)), kind) == {"hole"}
    assert find_evidence(tmp_path / "hole.webm", replace(kind, varied=True)) == frozenset()
    data = original("y4m", folder).read_bytes()
    (tmp_path / "broken.y4m").write_bytes(data[: len(data) // 2] + b"12345" + data[len(data) // 2 :])
    assert "error" in find_evidence(tmp_path / "broken.y4m", KINDS["y4m"])
    data = original("wmv", folder).read_bytes()
    (tmp_path / "cut.wmv").write_bytes(data[: len(data) // 2])
    assert "length" in find_evidence(tmp_path / "cut.wmv", KINDS["wmv"])
    data = original("raw h264", folder).read_bytes()
    (tmp_path / "broken.h264").write_bytes(data[:5000] + b"\xff" * 300 + data[5300:])
    assert find_evidence(tmp_path / "broken.h264", KINDS["raw h264"]) == {"flag"}


def test_seek_differs(truth):
    readings = readings_of([*ALL[:-1], -1])
    readings.sought = [pictures([12], frames=[12]), pictures([3], frames=[39])]
    assert names(readings, truth) == []
    readings.sought = [pictures([13], frames=[12])]
    assert names(readings, truth) == ["seek differs"]
    # A whole picture comes out damaged: that is so near damage only, where the decoder makes do.
    readings.sought = [pictures([-1], frames=[39 - 12])]
    assert names(readings, truth) == []
    readings.sought = [pictures([-1], frames=[39 - 13])]
    assert names(readings, truth) == ["seek differs"]
    readings.sought, readings.not_sought = [], "frame 3 cannot be decoded."
    assert names(readings, truth) == ["seek differs"]


def test_outcomes(truth):
    assert names(readings_of(ALL, preparation=Outcome("failed", "it is not a video.")), truth) == [
        "preparation differs"
    ]
    assert names(readings_of(ALL, training_clip=Outcome("repaired", "")), truth) == ["no reason"]
    assert names(readings_of(ALL, training_clip=Outcome("failed", "a.mp4 cannot be read: None.")), truth) == [
        "no reason"
    ]
    readings = readings_of(ALL)
    readings.errors = [("in order", "IndexError")]
    assert names(readings, truth) == ["foreign error"]


def test_what_is_raised_is_noted(tmp_path, monkeypatch):
    def broken(*_):
        raise IndexError("list index out of range")

    monkeypatch.setattr("fuzzing.reading.probe_video", broken)
    readings = read_every_way(
        original("mp4 h264", tmp_path), tmp_path, KINDS["mp4 h264"], 1, lambda way: None
    )
    assert [way for way, _ in readings.errors] == ["in order"]
    assert readings.errors[0][1].endswith("list index out of range")
    assert set(readings.outcomes) == set(WAYS) - {"in order"}


WATCH = "import sys; sys.path.insert(0, sys.argv[1]); from fuzzing.watch import watched\n"


@pytest.mark.parametrize(
    ("cpu_seconds", "memory", "code", "status"),
    [
        (1, 10**10, "while True: pass", -signal.SIGXCPU),
        (60, 10**8, "kept = [bytearray(b'x' * 10**7) for _ in range(1000)]", TOO_MUCH_MEMORY),
        (60, 10**8, "gone = bytearray(b'x' * 2 * 10**8); del gone", TOO_MUCH_MEMORY),
        (60, 10**8, "kept = bytearray(b'x' * 10**7)", 0),
    ],
)
def test_a_process_that_takes_too_much_ends_itself(cpu_seconds, memory, code, status):
    program = f"{WATCH}with watched({cpu_seconds}, {memory}):\n    {code}\n"
    assert subprocess.run([sys.executable, "-c", program, str(TESTS)]).returncode == status


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("the process that read it died (signal 11, SIGSEGV)", "crash"),
        ("the process that read it died (signal 24, SIGXCPU)", "hang"),
        ("reading it took longer than 80 s", "hang"),
        (f"the process that read it died (exit status {TOO_MUCH_MEMORY})", "memory"),
    ],
)
def test_deaths(tmp_path, reason, name):
    task = Task(7, str(tmp_path), 1.0, 1)
    task.stage_file.write_text("training clip")
    assert death_of(task, Lost(reason)) == Finding(name, f"training clip: {reason}")
    assert not task.stage_file.exists()


def test_a_fault_of_the_tests_is_no_finding(tmp_path):
    with pytest.raises(RuntimeError, match="case 7: ZeroDivisionError: by nothing"):
        death_of(Task(7, str(tmp_path), 1.0, 1), Lost("ZeroDivisionError: by nothing"))


def test_case_numbers():
    """Every pair of kind and damage comes, and each kind in the first cases."""
    first = list(choose_cases(0, len(KINDS) * len(DAMAGES)))
    assert len({(case.kind, case.damage) for case in first}) == len(first)
    assert [case.kind for case in first[: len(KINDS)]] == list(KINDS)
    assert {case.damage for case in first[:144]} == set(DAMAGES)
    chosen = list(choose_cases(100, 3, "gif", "append"))
    assert [(case.kind, case.damage) for case in chosen] == [("gif", "append")] * 3
    assert chosen[0].number >= 100
    assert chosen[0] == Case.of(chosen[0].number)


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_changes_the_file(folder, damage):
    """By a quarter of its length at most, but for a file behind it."""
    for case in choose_cases(0, 3, "mkv h264", damage):
        data, whole = case.make(folder), original(case.kind, folder).read_bytes()
        assert data != whole
        if damage not in ("append", "several"):
            assert 0.75 * len(whole) <= len(data) <= 1.25 * len(whole)
