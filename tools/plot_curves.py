"""Draw learning curves from logs: python tools/plot_curves.py outputs/vtn outputs/i3d --out curves.png."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("plot_curves")
