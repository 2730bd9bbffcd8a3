"""See it all work, without data or GPU: python tools/demo.py (what `make demo` runs after the install)."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("demo")
