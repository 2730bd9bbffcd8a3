"""Draw what a VTN looks at: python tools/plot_attention.py --cfg outputs/vtn/config.yaml video.mp4."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("plot_attention")
