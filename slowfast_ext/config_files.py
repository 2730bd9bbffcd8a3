"""The project's own configurations, which are found by name from any folder.

In a checkout they are in configs/; a wheel has that folder within this package.
"""

import difflib
import os
from functools import cache
from pathlib import Path, PurePosixPath

from vtn.errors import InputError

_HERE = Path(__file__).resolve().parent
CONFIGS = next((path for path in (_HERE / "configs", _HERE.parent / "configs") if path.is_dir()), _HERE)


@cache
def config_names() -> tuple[str, ...]:
    """Names of all that there are, such as "Kinetics/VTN_ViT_B.yaml", in order."""
    return tuple(sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.glob("*/*.yaml")))


def find_config(name: str | os.PathLike) -> Path:
    """The file of a configuration: one that is there, seen from the working folder, else one of the project.

    Args:
        name: A path, or a name of `config_names`, with or without "configs/" before it.

    Raises:
        InputError: If there is neither; the sentence has the names that come close.
    """
    if os.path.isfile(name):
        return Path(name)
    wanted = os.path.normpath(name).replace(os.sep, "/").removeprefix("configs/")
    if wanted in config_names():
        return CONFIGS / wanted
    raise _missing(f"--cfg {name}", wanted)


def find_base(path: str) -> Path:
    """The file of a `_BASE_`: `path`, if it is there, else one of the project.

    So `_BASE_: Kinetics/VTN_ViT_B.yaml` does in any folder.

    Args:
        path: What `_BASE_` names, after the folder of the file that names it.

    Raises:
        InputError: If there is neither; the sentence has the names that come close.
    """
    if os.path.isfile(path):
        return Path(path)
    parts = PurePosixPath(path).parts
    name = "/".join(parts[-2:])
    if name in config_names() and ".." not in parts:  # with it a certain file is meant
        return CONFIGS / name
    raise _missing(f"_BASE_ {path}", name)


def _missing(what: str, wanted: str) -> InputError:
    close = _close_names(wanted)
    hint = f"; did you mean {' or '.join(close)}?" if close else ""
    return InputError(f"{what}: no such file, and no configuration of the project has that name{hint}")


def _close_names(wanted: str) -> list[str]:
    """At most three names like `wanted`, the likest first; where it has no folder, of any."""
    names = config_names()
    ends = {name: PurePosixPath(name).name for name in names}
    likely = difflib.get_close_matches(wanted, names)
    for end in difflib.get_close_matches(PurePosixPath(wanted).name, sorted({*ends.values()})):
        likely += [name for name in names if ends[name] == end]
    return list(dict.fromkeys(likely))[:3]
