"""What the pages tell a reader to open, to set and to write exists, and README is one page."""

import re

import numpy as np
import pytest
import timm
import torch
from fvcore.common.config import CfgNode
from pages import PAGES, ROOT, blocks, text_of

from slowfast_ext.config import add_vtn_config, get_cfg
from slowfast_ext.host import get_host

# Of each page, the least number of links, paths, keys and make targets that are found in it: a pattern that
# finds none tests nothing.
LEAST = {
    "README.md": {"links": 15, "paths": 10, "keys": 8, "targets": 2},
    "CONTRIBUTING.md": {"paths": 2, "targets": 3},
    "CHANGELOG.md": {"paths": 1, "keys": 1},
    "projects/vtn/README.md": {"links": 10, "paths": 5, "keys": 15},
    "docs/configuration.md": {"links": 4, "paths": 3, "keys": 60},
    "docs/datasets.md": {"links": 1, "paths": 1, "keys": 4},
    "docs/pyslowfast_main.md": {"keys": 3, "targets": 2},
    "docs/troubleshooting.md": {"links": 4, "keys": 20},
}
WORDS = 900
ALL_PAGES = pytest.mark.parametrize("page", sorted({*PAGES, "CHANGELOG.md"}))


def least(page: str, kind: str) -> int:
    return LEAST.get(page, {}).get(kind, 0)


def test_readme_is_one_page():
    assert len(text_of("README.md").split()) <= WORDS
    rows = [line for line in text_of("README.md").splitlines() if line.startswith("|")]
    assert rows
    assert max(map(len, rows)) <= 120


def test_readme_links_every_page():
    links = re.findall(r"\]\(([^)]+)\)", text_of("README.md"))
    assert set(PAGES) - {"README.md"} <= set(links) | {f"{link}README.md" for link in links}


@ALL_PAGES
def test_links_exist(page):
    text = text_of(page)
    headings = {"#" + line.lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert len(links) >= least(page, "links")
    for link in links:
        if link.startswith("#"):
            assert link in headings, link
        elif not link.startswith("http"):
            assert ((ROOT / page).parent / link).exists(), link


@ALL_PAGES
def test_paths_exist(page):
    folders = "configs|tools|tests|slowfast_ext|projects|benchmarks|docs"
    paths = re.findall(rf"(?<![/\w])((?:{folders})/[\w./-]*\w)", text_of(page))
    assert len(paths) >= least(page, "paths")
    for path in paths:
        assert "NAME" in path or (ROOT / path).exists(), path


@ALL_PAGES
def test_keys_exist(page):
    cfg = get_cfg()
    sections = "|".join(name for name, value in cfg.items() if hasattr(value, "items"))
    keys = re.findall(rf"\b((?:{sections})(?:\.[A-Z][A-Z0-9_]*)+)\b", text_of(page))
    assert len(keys) >= least(page, "keys")
    for key in keys:
        node = cfg
        for part in key.split("."):
            assert part in node, key
            node = node[part]


@ALL_PAGES
def test_make_targets_exist(page):
    targets = re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE)
    found = re.findall(r"\bmake ([a-z-]+)\s*(?:#|`|$)", text_of(page), re.MULTILINE)
    assert len(found) >= least(page, "targets")
    for target in found:
        assert target in targets, target


def test_every_key_of_vtn_is_in_the_table():
    cfg = type(get_cfg())()
    for section in ("TRAIN", "TEST", "DATA", "DATA_LOADER", "MODEL", "SOLVER", "RESNET", "TENSORBOARD"):
        cfg[section] = type(cfg)()
    cfg.MODEL.SINGLE_PATHWAY_ARCH = []  # a list of the host's that is added to
    add_vtn_config(cfg)
    cfg.MODEL.pop("SINGLE_PATHWAY_ARCH")
    defaults = dict(leaves(cfg))
    assert len(defaults) > 25
    assert rows_of_keys("Keys that VTN adds") == defaults


def test_every_key_of_augmentation_is_in_its_table():
    """Both PySlowFasts have them, with main's defaults; main has more, which our data sets do not read."""
    cfg, table = get_cfg(), rows_of_keys("Augmentation")
    assert table == {key: value for key, value in leaves(cfg) if key in table}
    wanted = get_host().NAME == "wheel" and {*leaves(cfg.AUG, "AUG."), *leaves(cfg.MIXUP, "MIXUP.")}
    assert not wanted or table.keys() == {key for key, _ in wanted}


def rows_of_keys(heading: str) -> dict:
    """Keys and defaults in the table of one section; each has a reason."""
    (section,) = re.findall(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", text_of("docs/configuration.md"), re.DOTALL | re.MULTILINE
    )
    rows = re.findall(r"^\| `([A-Z_.]+)` \| `(.*?)` \| (.+) \|$", section, re.MULTILINE)
    assert [key for key, _, reason in rows if len(reason) < 10] == []
    return {key: CfgNode._decode_cfg_value(value) for key, value, _ in rows}


def leaves(cfg, prefix: str = ""):
    for key, value in cfg.items():
        if hasattr(value, "items"):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def without_weights(create):
    return lambda name, **options: create(name, **options | {"pretrained": False})


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_examples_run(page, tmp_path, monkeypatch, capsys):
    """Those that start from a trained model: engine/test_checkpoint_alone.py, predict/test_predictor.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(timm, "create_model", without_weights(timm.create_model))
    (tmp_path / "outputs/run").mkdir(parents=True)
    saved = {"scores": np.eye(3)[[2, 0, 1]], "paths": np.array(["a b.mp4", "c.mp4", "d.mp4"])}
    np.savez("outputs/run/scores.npz", **saved, scored=np.array([True, False, True]))
    names: dict = {}
    for code in blocks(page, "python"):
        if "checkpoint=" in code or "Predictor(" in code or "onnxruntime" in code:
            continue
        for file in re.findall(r'load_checkpoint\(\s*model, "(.*?)"', code):
            torch.save({"model_state": names["model"].state_dict()}, file)
        exec(code, names)
        if "logits" in names:
            assert names["logits"].shape == (1, 400)
        if "attention" in names:
            assert names["attention"].shape == (1, 3, 12, 16)
    if page == "docs/python.md":
        assert capsys.readouterr().out == "a b.mp4 2\nd.mp4 1\n"
