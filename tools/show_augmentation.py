"""Draw what training does to a clip: python tools/show_augmentation.py --cfg FILE VIDEO... --out a.png."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("show_augmentation")
