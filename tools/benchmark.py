"""Compare with the paper: python tools/benchmark.py paper [--out outputs/paper]."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("benchmark")
