"""Store the features of frames: python tools/extract_features.py checkpoint.pyth videos/ --out features."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("extract_features")
