"""Steps of a comparison: done once, done anew when something changed, and their failures told."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slowfast_ext.compare.progress import Progress
from slowfast_ext.compare.steps import Step, run_step
from vtn.errors import InputError

ROOT = Path(__file__).resolve().parents[3]


def make_step(tmp_path, program, *, keeps=False, **depends):
    return Step("trial", tmp_path / "trial", (sys.executable, "-c", program), depends, keeps=keeps)


def run(step):
    """StepOutcome of a step and the lines that were shown."""
    said = []
    return run_step(step, Progress(1.0, say=said.append)), said


def test_a_step_is_done_once(tmp_path):
    count = tmp_path / "count"
    step = make_step(tmp_path, f"open({str(count)!r}, 'a').write('x'); print('hello')", list="a")
    first, _ = run(step)
    assert first.seconds > 0
    assert first.reason == ""
    again, said = run(step)
    assert again == first
    assert count.read_text() == "x"
    assert step.log.read_text() == "hello\n"
    assert said == [f"trial: finished earlier, in {first.seconds:.0f} s"]


@pytest.mark.parametrize("keeps", [False, True])
def test_a_step_is_done_anew_if_what_it_depends_on_has_changed(tmp_path, keeps):
    run(make_step(tmp_path, "print('old')", keeps=keeps, **{"test.csv": "a", "checkpoint": "c"}))
    (tmp_path / "trial" / "weights").write_text("old")
    outcome, said = run(
        make_step(tmp_path, "print('new')", keeps=keeps, **{"test.csv": "b", "checkpoint": "c"})
    )
    assert outcome.reason == ""
    assert "is done anew, because test.csv changed since" in said[0]
    assert (tmp_path / "trial" / "run.log").read_text() == "new\n"
    assert not (tmp_path / "trial" / "weights").exists()
    kept = tmp_path / "trial_before_1"
    assert kept.is_dir() == keeps
    if keeps:
        assert (kept / "weights").read_text() == "old"
        assert str(kept) in said[0]


def test_files_of_something_else_are_left_alone(tmp_path):
    folder = tmp_path / "trial"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="trial holds files of something else"):
        run(make_step(tmp_path, "pass"))
    assert (folder / "thesis.tex").read_text() == "years of work"


def test_a_failed_step_is_told_and_tried_again(tmp_path):
    ready = tmp_path / "ready"
    program = (
        "import os, sys, time; time.sleep(0.2)\n"
        f"if not os.path.exists({str(ready)!r}): print('error: not ready'); print('bye'); sys.exit(3)"
    )
    step = make_step(tmp_path, program)
    outcome, said = run(step)
    assert outcome.reason == f"not ready (log: {step.log})"
    assert said[-1] == f"trial: failed: {outcome.reason}"
    ready.write_text("")
    outcome, _ = run(step)
    assert outcome.reason == ""
    assert outcome.seconds >= 0.4  # both attempts count


@pytest.mark.parametrize(
    ("program", "told"),
    [
        (
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "signal SIGKILL, as the system does when",
        ),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "ended by the signal SIGTERM (log"),
        ("bytearray(2**60)", "does not fit into memory: MemoryError"),
        ("raise SystemExit(4)", "it ended with status 4"),
    ],
)
def test_reasons(tmp_path, program, told):
    outcome, _ = run(make_step(tmp_path, program))
    assert told in outcome.reason


def test_an_interrupted_step_keeps_its_time_and_is_not_finished(tmp_path):
    program = 'print(\'json_stats: {"split": "test_final", "top1_acc": "1", "num_videos": 3}\')'
    step = make_step(tmp_path, program)

    def interrupt(line):
        if "top-1" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_step(step, Progress(1.0, say=interrupt))
    record = json.loads((step.folder / "step.json").read_text())
    assert record["seconds"] > 0
    assert record["finished"] is False
    outcome, said = run(step)
    assert "goes on" in said[0]
    assert outcome.seconds > record["seconds"]


def test_a_damaged_record_is_named(tmp_path):
    step = make_step(tmp_path, "pass")
    run(step)
    (step.folder / "step.json").write_text('{"depends": {')
    with pytest.raises(InputError, match=r"step\.json is damaged: delete the folder"):
        run(step)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that started it")
def test_a_killed_comparison_leaves_no_process(tmp_path):
    """SIGKILL gives no time to end anything."""
    pid_file = tmp_path / "pid"
    child = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from slowfast_ext.compare.steps import Step, run_step\n"
        "from slowfast_ext.compare.progress import Progress\n"
        f"run_step(Step('trial', Path({str(tmp_path / 'trial')!r}), (sys.executable, '-c', {child!r})), "
        "Progress(1.0))"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    try:
        wait_until(lambda: pid_file.is_file() and pid_file.read_text())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_until(lambda: not is_running(int(pid_file.read_text())))
    finally:
        parent.kill()
    record = json.loads((tmp_path / "trial" / "step.json").read_text())
    assert record["finished"] is False


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
