"""Which commit of main, or which version of the wheel, a fake one says it is."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from slowfast_ext.host.find import GIT, WHEEL, find_installation

COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40


def put_dist_info(root: Path, name: str, version: str, origin: dict | None = None) -> None:
    folder = root / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if origin is not None:
        (folder / "direct_url.json").write_text(json.dumps(origin))


def put_git(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


PACKED = (
    f"# pack-refs with: peeled fully-peeled sorted\n{OTHER} refs/heads/old-main\n{COMMIT} refs/heads/main\n"
)
BRANCH = "ref: refs/heads/main\n"
REPOSITORIES = {
    "detached": {".git/HEAD": f"{COMMIT}\n"},
    "branch": {".git/HEAD": BRANCH, ".git/refs/heads/main": f"{COMMIT}\n"},
    "packed branch": {".git/HEAD": BRANCH, ".git/packed-refs": PACKED},
    # What was committed since the packing is in a file again.
    "branch over packed": {
        ".git/HEAD": BRANCH,
        ".git/refs/heads/main": f"{COMMIT}\n",
        ".git/packed-refs": f"{OTHER} refs/heads/main\n",
    },
    "worktree": {
        ".git": "gitdir: ../whole/.git/worktrees/main\n",
        "../whole/.git/HEAD": f"{OTHER}\n",
        "../whole/.git/worktrees/main/HEAD": BRANCH,
        "../whole/.git/worktrees/main/commondir": "../..\n",
        "../whole/.git/refs/heads/main": f"{COMMIT}\n",
    },
    "worktree, packed branch": {
        ".git": "gitdir: ../whole/.git/worktrees/main\n",
        "../whole/.git/worktrees/main/HEAD": BRANCH,
        "../whole/.git/worktrees/main/commondir": "../..\n",
        "../whole/.git/packed-refs": PACKED,
    },
    "submodule": {
        ".git": "gitdir: ../whole/.git/modules/main\n",
        "../whole/.git/modules/main/HEAD": f"{COMMIT}\n",
    },
}
UNKNOWN = {
    "no repository": {},
    "no commit yet": {".git/HEAD": BRANCH},
    "another branch is packed": {".git/HEAD": BRANCH, ".git/packed-refs": f"{OTHER} refs/heads/old\n"},
    "worktree of a repository that is gone": {".git": "gitdir: ../gone/.git/worktrees/main\n"},
}


@pytest.mark.parametrize("files", REPOSITORIES.values(), ids=REPOSITORIES)
def test_version_of_a_checkout(look, put, files):
    main = put("main", GIT)
    put_git(main, files)
    found = look(home=main)
    assert found.version == COMMIT
    assert found.description == f"PySlowFast main, commit 0123456, in {main}"


@pytest.mark.parametrize("files", UNKNOWN.values(), ids=UNKNOWN)
def test_version_that_is_not_known(look, put, files):
    main = put("main", GIT)
    put_git(main, files)
    assert look(home=main).version == ""


def test_version_of_a_worktree_named_by_its_whole_path(look, put, tmp_path):
    main, whole = put("main", GIT), tmp_path / "whole" / ".git"
    put_git(main, {".git": f"gitdir: {whole}/worktrees/main\n"})
    put_git(whole, {"worktrees/main/HEAD": f"{COMMIT}\n"})
    assert look(home=main).version == COMMIT


@pytest.mark.skipif(not os.environ.get("SLOWFAST_HOME"), reason="SLOWFAST_HOME names no checkout of main")
def test_version_is_what_git_says():
    home = os.environ["SLOWFAST_HOME"]
    told = subprocess.run(["git", "-C", home, "rev-parse", "HEAD"], capture_output=True, text=True)
    if told.returncode:
        pytest.skip("SLOWFAST_HOME is no git repository")
    assert find_installation().version == told.stdout.strip()


def test_version_of_main_installed_by_pip(look, put):
    site = put("site", WHEEL, GIT)
    put_dist_info(site, "pyslowfast", "1.0")  # which main was installed over
    put_dist_info(
        site, "slowfast", "0.1", {"url": "https://x", "vcs_info": {"vcs": "git", "commit_id": COMMIT}}
    )
    assert look(site).version == COMMIT


@pytest.mark.parametrize("origin", [None, {"url": "file:///home/me/SlowFast", "dir_info": {}}])
def test_version_of_main_installed_from_a_folder_is_not_known(look, put, origin):
    site = put("site", GIT)
    put_dist_info(site, "slowfast", "0.1", origin)
    assert look(site).version == ""


def test_version_of_the_wheel(look, put, tmp_path):
    site = put("site", WHEEL)
    put_dist_info(site, "pyslowfast", "1.0.1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    put_dist_info(elsewhere, "pyslowfast", "0.9")
    found = look(elsewhere, site)
    assert (found.version, found.description) == ("1.0.1", "PySlowFast 1.0.1 from PyPI")
