"""Items that another thread fetches: the same ones, the same errors, and no thread that is left."""

import threading

import pytest
from videos import make_video

from slowfast_ext.video.ahead import ahead
from slowfast_ext.video.decoding import decode_frames, probe_video


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_items_come_in_order_from_another_thread():
    def items():
        for number in range(20):
            yield number, threading.current_thread().name

    numbers, names = zip(*ahead(items()), strict=True)
    assert numbers == tuple(range(20))
    assert all(name.startswith("ahead") for name in names)
    assert threads() == []


def test_no_more_than_asked_are_fetched_before_their_time():
    fetched = []
    given = ahead((fetched.append(number) or number for number in range(20)), 3)
    assert next(given) == 0
    given.close()
    assert len(fetched) <= 1 + 3
    assert threads() == []


def test_what_is_raised_comes_where_it_was_raised():
    def items():
        yield 1
        raise ZeroDivisionError("after one")

    given = ahead(items())
    assert next(given) == 1
    with pytest.raises(ZeroDivisionError, match="after one"):
        next(given)
    assert threads() == []


def test_pictures_are_those_of_one_thread(tmp_path):
    path = make_video(tmp_path / "video.mp4", 40)
    info, wanted = probe_video(path), [0, 3, 4, 20, 39]
    one, two = (
        [(n, picture.clone()) for n, picture in decode_frames(path, wanted, info, two_threads=two_threads)]
        for two_threads in (False, True)
    )
    assert [number for number, _ in two] == wanted
    assert all(a.equal(b) for (_, a), (_, b) in zip(one, two, strict=True))
