"""Which PySlowFast is used: the checkout of SLOWFAST_HOME, main where it is importable, or the wheel."""

import importlib.metadata
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from vtn.errors import InputError

WHEEL, GIT = "wheel", "git"
# Where `make install-git` puts main.
OWN_CHECKOUT = Path(__file__).resolve().parents[2] / "SlowFast"
_HOW_TO_GET_ONE = "type `pip install pyslowfast==1.0`, or set SLOWFAST_HOME to a checkout of PySlowFast main"


@dataclass(frozen=True)
class Installation:
    """A PySlowFast on this machine.

    Attributes:
        kind: WHEEL (1.0 from PyPI) or GIT (main of facebookresearch/SlowFast).
        root: Folder that holds the package `slowfast`.
        version: "1.0", or the commit of main; "" where main does not tell.
        unused: Folders of other PySlowFasts that could be imported but are not used.
    """

    kind: str
    root: Path
    version: str
    unused: tuple[Path, ...] = ()

    @property
    def tools(self) -> Path | None:
        """Folder of main's train_net.py and test_net.py; None where only the package is installed."""
        folder = self.root / "tools"
        return folder if (folder / "train_net.py").is_file() and self.kind == GIT else None

    @property
    def description(self) -> str:
        """Which one, for a line of text."""
        if self.kind == WHEEL:
            return f"PySlowFast {self.version} from PyPI"
        commit = f"commit {self.version[:7]}" if self.version else "of an unknown commit"
        return f"PySlowFast main, {commit}, in {self.root}"


def find_installation() -> Installation:
    """Find the PySlowFast to use, and make it the one that `import slowfast` finds.

    SLOWFAST_HOME decides; where it is not set, not even to nothing, the checkout that `make install-git` has
    made. Without either, main wins over the wheel wherever both can be imported.

    Raises:
        InputError: If there is none, if SLOWFAST_HOME is not a checkout of main, or if pip has installed the
            wheel over main, so that neither is whole.
    """
    home = os.environ.get("SLOWFAST_HOME")
    if home is None and _kind(OWN_CHECKOUT / "slowfast") == GIT:
        home = str(OWN_CHECKOUT)
    folders = _folders()
    roots = [root for root in folders if (root / "slowfast" / "models").is_dir()]
    if home:
        chosen = _checkout(home)
    elif roots:
        chosen = next((root for root in roots if _kind(root / "slowfast") == GIT), roots[0])
    else:
        raise InputError(f"PySlowFast is not installed: {_HOW_TO_GET_ONE}")
    kind = _kind(chosen / "slowfast")
    if kind is None:
        raise InputError(
            f"the PySlowFast in {chosen / 'slowfast'} is neither 1.0 from PyPI nor main: {_HOW_TO_GET_ONE}"
        )
    _require_not_imported_from_elsewhere(chosen)
    if folders[:1] != [chosen]:
        sys.path.insert(0, str(chosen))
    unused = tuple(root for root in roots if root != chosen)
    return Installation(kind, chosen, _version(kind, chosen), unused)


def _folders() -> list[Path]:
    """Folders from which `slowfast` might be imported; first the one that Python takes."""
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    # Each is asked, because pip's editable installs are in no folder and come after all folders.
    specs = [find("slowfast", None) for find in finders if find]
    places = [place for spec in specs if spec for place in spec.submodule_search_locations or [spec.origin]]
    folders = [Path(place).resolve().parent for place in places]
    return list(dict.fromkeys([*folders, *(Path(entry or ".").resolve() for entry in sys.path)]))


def _checkout(home: str) -> Path:
    root = Path(home).expanduser().resolve()
    if _kind(root / "slowfast") != GIT:
        raise InputError(
            f"SLOWFAST_HOME is {home!r}: it must be a checkout of "
            "https://github.com/facebookresearch/SlowFast (a folder with slowfast/models/build.py)"
        )
    return root


def _kind(package: Path) -> str | None:
    """WHEEL, GIT or neither; files of both in one folder are told apart by who came last."""
    models = package / "models"
    is_main, is_wheel = ((models / name).is_file() for name in ("build.py", "model_builder.py"))
    if is_main and is_wheel:
        # pip writes one package over the other; every file that both have is of the later one.
        if "MODEL_REGISTRY" in (models / "__init__.py").read_text():
            return GIT
        raise InputError(
            f"{package} holds PySlowFast main with the wheel 1.0 written over it, so neither is whole: type "
            "`pip install --no-deps --force-reinstall git+https://github.com/facebookresearch/SlowFast`"
        )
    return GIT if is_main else WHEEL if is_wheel else None


def _require_not_imported_from_elsewhere(root: Path) -> None:
    loaded = sys.modules.get("slowfast")
    package = next(iter(getattr(loaded, "__path__", ())), None)
    if package and Path(package).resolve().parent != root:
        raise InputError(
            f"slowfast was already imported from {package}, but {root} is to be used: "
            "`import slowfast_ext` before anything of slowfast"
        )


def _version(kind: str, root: Path) -> str:
    name = "pyslowfast" if kind == WHEEL else "slowfast"
    for found in importlib.metadata.distributions(name=name, path=[str(root)]):
        if kind == WHEEL:
            return found.version
        origin = json.loads(found.read_text("direct_url.json") or "{}")
        if "vcs_info" in origin:
            return origin["vcs_info"]["commit_id"]
    return _commit(root / ".git") if kind == GIT else "1.0"


def _commit(git: Path) -> str:
    """The commit that is checked out, read from git's files; "" if they cannot be read."""
    try:
        if git.is_file():  # a worktree or submodule: the file says where its folder is
            git = (git.parent / git.read_text().removeprefix("gitdir:").strip()).resolve()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        shared = git / (git / "commondir").read_text().strip() if (git / "commondir").exists() else git
        if (shared / name).is_file():
            return (shared / name).read_text().strip()
        packed = (shared / "packed-refs").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
