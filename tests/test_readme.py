"""What the pages tell a reader to type or to open exists."""

import re
import textwrap
from pathlib import Path

import pytest

from slowfast_ext.config import get_cfg

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "projects/vtn/README.md", "tests/data/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_and_paths_exist(page):
    text = (ROOT / page).read_text()
    headings = {"#" + line.lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if link.startswith("#"):
            assert link in headings, link
        elif not link.startswith("http"):
            assert ((ROOT / page).parent / link).exists(), link
    for path in re.findall(
        r"(?<!/)\b((?:configs|tools|tests|slowfast_ext|projects|benchmarks|docs)/[\w./-]*\w)", text
    ):
        assert "NAME" in path or (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES)
def test_keys_exist(page):
    cfg = get_cfg()
    sections = "|".join(name for name, value in cfg.items() if hasattr(value, "items"))
    for key in re.findall(rf"\b((?:{sections})(?:\.[A-Z][A-Z0-9_]*)+)\b", (ROOT / page).read_text()):
        node = cfg
        for part in key.split("."):
            assert part in node, key
            node = node[part]


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in re.findall(r"\bmake ([a-z-]+)\s*(?:#|`|$)", (ROOT / page).read_text(), re.MULTILINE):
        assert target in targets, target


def test_python_examples_run():
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        if "checkpoint=" not in code:  # that one needs a trained model: engine/test_checkpoint_alone.py
            exec(textwrap.dedent(code), names)
    assert names["logits"].shape == (1, 400)
    assert names["attention"].shape == (1, 3, 12, 16)
