"""vtn stands alone: torch, timm, safetensors, which timm brings, and the standard library; transformers in
one file, when asked for.

It also speaks for itself: nothing in it mentions a configuration.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import vtn

ALLOWED = {"torch", "timm", "safetensors"} | sys.stdlib_module_names


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


def capital_words(source: str) -> set[str]:
    """Words in the strings of a file that look like keys: SECTION.KEY, or capitals with an underscore."""
    strings = [node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)]
    pattern = r"\b[A-Z][A-Z0-9]*(?:[._][A-Z0-9]+)+\b"
    return {word for text in strings if isinstance(text, str) for word in re.findall(pattern, text)}


def test_the_search_sees_keys_in_docstrings_and_messages():
    source = "'''See VTN.PRETRAINED.'''\nraise E(f\"{x} (NUM_GPUS 0), a GPU. OF N, P - 2\")"
    assert capital_words(source) == {"VTN.PRETRAINED", "NUM_GPUS"}


def test_vtn_mentions_no_key_of_a_configuration():
    files = sorted(Path(vtn.__file__).parent.rglob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    own = {node.id for node in nodes if isinstance(node, ast.Name)}  # its own constants
    for file in files:
        assert capital_words(file.read_text()) <= own, file


def test_the_optional_library_is_not_needed():
    code = "import sys; sys.modules['transformers'] = None; import vtn"
    code += "; vtn.VTN('test_vit', 3, num_heads=4)"
    subprocess.run([sys.executable, "-c", code], check=True)
