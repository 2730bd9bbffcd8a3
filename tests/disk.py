"""What a program tells the disk, in which order."""

import os

import pytest


def watch_disk(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """From now on, each os.fsync and os.replace is noted, with the inode of its file.

    Returns:
        A list that grows: ("fsync" or "replace", inode).
    """
    done: list[tuple[str, int]] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(file: int) -> None:
        done.append(("fsync", os.fstat(file).st_ino))
        fsync(file)

    def noting_replace(source, target, **options) -> None:
        done.append(("replace", os.stat(source).st_ino))
        replace(source, target, **options)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    return done


def assert_on_disk_before_its_name(path, done: list[tuple[str, int]]) -> None:
    """The file at `path` was written out before it got its name: a power cut leaves it whole or absent."""
    inode = os.stat(path).st_ino
    assert [what for what, of in done if of == inode] == ["fsync", "replace"]
