"""Train and test a model: python tools/run_net.py --cfg configs/Kinetics/VTN_ViT_B.yaml [KEY VALUE …]."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("run_net")
