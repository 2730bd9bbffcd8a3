"""What the pages tell a reader to type or to open exists."""

import re
import textwrap
from pathlib import Path

import pytest

from slowfast_ext.config import get_cfg

ROOT = Path(__file__).resolve().parents[1]
# Of each page, the least number of links, paths, keys and make targets that are found in it: a pattern that
# finds none tests nothing. A page with none of a kind is not tested for it.
PAGES = {
    "README.md": {"links": 5, "paths": 10, "keys": 15, "targets": 3},
    "CONTRIBUTING.md": {"paths": 2, "targets": 3},
    "CHANGELOG.md": {"paths": 1, "keys": 1},
    "projects/vtn/README.md": {"links": 10, "paths": 5, "keys": 15},
}


def pages_with(kind: str):
    return pytest.mark.parametrize("page", [page for page, least in PAGES.items() if kind in least])


@pages_with("links")
def test_links_exist(page):
    text = (ROOT / page).read_text()
    headings = {"#" + line.lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) >= PAGES[page]["links"]
    for link in links:
        if link.startswith("#"):
            assert link in headings, link
        elif not link.startswith("http"):
            assert ((ROOT / page).parent / link).exists(), link


@pages_with("paths")
def test_paths_exist(page):
    folders = "configs|tools|tests|slowfast_ext|projects|benchmarks|docs"
    paths = re.findall(rf"(?<!/)\b((?:{folders})/[\w./-]*\w)", (ROOT / page).read_text())
    assert len(paths) >= PAGES[page]["paths"]
    for path in paths:
        assert "NAME" in path or (ROOT / path).exists(), path


@pages_with("keys")
def test_keys_exist(page):
    cfg = get_cfg()
    sections = "|".join(name for name, value in cfg.items() if hasattr(value, "items"))
    keys = re.findall(rf"\b((?:{sections})(?:\.[A-Z][A-Z0-9_]*)+)\b", (ROOT / page).read_text())
    assert len(keys) >= PAGES[page]["keys"]
    for key in keys:
        node = cfg
        for part in key.split("."):
            assert part in node, key
            node = node[part]


@pages_with("targets")
def test_make_targets_exist(page):
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    found = re.findall(r"\bmake ([a-z-]+)\s*(?:#|`|$)", (ROOT / page).read_text(), re.MULTILINE)
    assert len(found) >= PAGES[page]["targets"]
    for target in found:
        assert target in targets, target


def test_python_examples_run():
    names: dict = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL):
        if "checkpoint=" not in code:  # that one needs a trained model: engine/test_checkpoint_alone.py
            exec(textwrap.dedent(code), names)
    assert names["logits"].shape == (1, 400)
    assert names["attention"].shape == (1, 3, 12, 16)
