"""A folder of empty files that are called like videos: plans open none."""

import pytest

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
