"""Folders of videos: of empty files that are called like them, as plans open none, and of painted ones."""

import pytest
from prepared import paint_folder

from slowfast_ext.prepare.find import VideoIndex


@pytest.fixture
def videos(tmp_path):
    """Make empty files of the given names; returns their index."""

    def make(*names: str) -> VideoIndex:
        for name in names:
            path = tmp_path / "videos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return VideoIndex(tmp_path / "videos", without=tmp_path / "out")

    return make


@pytest.fixture
def folder(tmp_path):
    """A data set of eight videos, see paint_folder."""
    return paint_folder(tmp_path / "my videos")
