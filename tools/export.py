"""Write weights as safetensors: python tools/export.py outputs/run --to safetensors."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("export")
