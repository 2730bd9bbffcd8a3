"""Make the lists of a data set as it is published: python tools/prepare_dataset.py KIND --help."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("prepare_dataset")
