"""Trainings that are killed, stopped, signalled and starved at random moments, and what must come of them."""

import sys
from pathlib import Path

# Run as a script, Python finds tests/slowfast_ext, which is not the package, before the installed one.
_ROOT = Path(__file__).resolve().parents[2]
for _path in (str(_ROOT / "projects"), str(_ROOT)):
    if _path not in sys.path:
        sys.path.insert(0, _path)
