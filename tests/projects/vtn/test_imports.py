"""vtn stands alone: torch, timm and the standard library; transformers in one file, when asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import vtn

ALLOWED = {"torch", "timm"} | sys.stdlib_module_names


def imported_packages(source: str) -> set[str]:
    """Top-level names of the absolute imports anywhere in a file, in functions too."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom) and node.level > 1:
            names.add("outside the package")
    return names


def test_the_walk_sees_imports():
    source = "import os.path\ndef f():\n    from slowfast.x import y\n    from .x import y\nfrom .. import z"
    assert imported_packages(source) == {"os", "slowfast", "outside the package"}


def test_vtn_imports_neither_the_host_nor_the_bridge():
    files = sorted(Path(vtn.__file__).parent.rglob("*.py"))
    assert {"model.py", "backbone.py", "checkpoint.py", "window_attention.py"} <= {
        file.name for file in files
    }
    for file in files:
        optional = {"transformers"} if file.name == "sequence_encoder.py" else set()
        assert imported_packages(file.read_text()) <= ALLOWED | optional, file


def test_the_optional_library_is_not_needed():
    code = "import sys; sys.modules['transformers'] = None; import vtn"
    code += "; vtn.VTN('test_vit', 3, num_heads=4)"
    subprocess.run([sys.executable, "-c", code], check=True)
