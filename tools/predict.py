"""Say what happens in videos: python tools/predict.py outputs/run videos/."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("predict")
