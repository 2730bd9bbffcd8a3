"""Where a training step stops being finite: python tools/repeat_step.py outputs/run/nonfinite_step.pyth."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("repeat_step")
