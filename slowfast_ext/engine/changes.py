"""What has changed since the checkpoint that a run continues from: its keys, its lists, the code."""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from fvcore.common.config import CfgNode

import vtn
from slowfast_ext.version import __version__
from vtn.errors import first_of

_FOLDERS = (Path(vtn.__file__).parent, Path(__file__).parents[1])  # of our two packages
# Where the run is written, and on how many machines.
_NOT_OF_THE_TRAINING = ("OUTPUT_DIR", "NUM_SHARDS", "SHARD_ID")
_SHOWN = 8


def made_with(cfg: CfgNode) -> dict[str, str]:
    """Digests of the lists of a training and of the code; a list that is not there is left out."""
    found = {}
    for split in ("train", "val"):
        path = Path(cfg.DATA.PATH_TO_DATA_DIR) / f"{split}.csv"
        if path.is_file():
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found | {"code": _code()}


@functools.cache
def _code() -> str:
    """Version of the package, and a digest of our two packages' files."""
    digest = hashlib.sha256()
    for folder in _FOLDERS:
        for path in sorted(folder.rglob("*.py")):
            digest.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return f"{__version__} {digest.hexdigest()[:12]}"


def describe_changes(run: Mapping[str, Any], cfg: CfgNode, made: Mapping[str, str]) -> list[str]:
    """A line for each kind of thing that is other than it was, and what that means.

    Args:
        run: Of a checkpoint: its `made_with`, and `cfg`, the configuration as text.
        cfg: Of the run that continues.
        made: Its own `made_with`.
    """
    lines = []
    keys = list(_changed_keys(run.get("cfg", ""), cfg))
    if keys:
        lines.append(
            f"Changed since the checkpoint: {first_of(keys, _SHOWN)}. The run goes on with the new "
            "values, so it may end otherwise than it would have"
        )
    before = run.get("made_with", {})
    for name, digest in made.items():
        if name not in before or before[name] == digest:
            continue
        if name == "code":
            folders = " and ".join(map(str, _FOLDERS))
            lines.append(
                f"Changed since the checkpoint: the code (version {before[name]} there, {digest} here in "
                f"{folders}). The run goes on, but may not have the bits that it would have had"
            )
        else:
            what = "an epoch that was begun begins anew" if name == "train.csv" else "scores do not compare"
            lines.append(f"Changed since the checkpoint: {name}. The run goes on with the new list; {what}")
    return lines


def _changed_keys(text: str, cfg: CfgNode) -> Iterator[str]:
    """KEY before -> now."""
    try:
        before = dict(_leaves(yaml.safe_load(text)))
    except (yaml.YAMLError, AttributeError):
        return  # of another program
    now = dict(_leaves(yaml.safe_load(cfg.dump())))
    for key in sorted(before.keys() | now.keys()):
        if key not in _NOT_OF_THE_TRAINING and before.get(key) != now.get(key):
            yield f"{key} {before.get(key)} -> {now.get(key)}"


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
