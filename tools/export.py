"""Write weights or programs for others: python tools/export.py outputs/run --to onnx."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("export")
