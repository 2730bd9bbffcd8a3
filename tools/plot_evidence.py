"""Measure which frames carry a VTN's answers: python tools/plot_evidence.py outputs/vtn."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("plot_evidence")
