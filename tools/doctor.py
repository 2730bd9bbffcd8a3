"""Say what this machine has, and what is broken in it: python tools/doctor.py [--json]."""

from slowfast_ext.cli import run_command

if __name__ == "__main__":
    run_command("doctor")
