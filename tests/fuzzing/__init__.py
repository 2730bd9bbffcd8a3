"""Damaged videos by the thousand, each made from its number, and what the project makes of them."""

import sys
from pathlib import Path

# Run as a script, Python finds tests/slowfast_ext, which is not the package, before the installed one.
_ROOT = str(Path(__file__).resolve().parents[2])
if _ROOT not in sys.path:
    sys.path.insert(0, _ROOT)
