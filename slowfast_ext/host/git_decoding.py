"""PySlowFast main reads videos with functions that torchvision has removed: where replacements are put.

`tests/slowfast_ext/host/test_git_decoding.py` has a test for each entry of `DECODING_CURES`. The functions
themselves are in memory_video.py.
"""

import contextlib
import functools
import inspect
import io
from collections.abc import Callable

import av
import torch
import torchvision

from slowfast_ext.host.cures import Cure, cure
from slowfast_ext.host.memory_video import probe_video_from_memory, read_video_from_memory

DECODING_CURES: list[Cure] = []


class TorchvisionIo:
    """torchvision.io with the two functions that were removed from it."""

    _probe_video_from_memory = staticmethod(probe_video_from_memory)
    _read_video_from_memory = staticmethod(read_video_from_memory)

    def __getattr__(self, name: str) -> object:
        return getattr(torchvision.io, name)


def _torchvision_cannot_decode() -> bool:
    # Older torchvisions have the names, but what they call is not in the wheels on PyPI.
    names = "probe_video_from_memory", "read_video_from_memory"
    return not all(
        hasattr(torchvision.io, f"_{name}") and hasattr(torch.ops.video_reader, name) for name in names
    )


@cure(
    DECODING_CURES,
    "slowfast.datasets.decoder.io",
    "torchvision from PyPI: DATA.DECODING_BACKEND torchvision, the default, calls functions that it does not "
    "have, so no video can be read",
    present=_torchvision_cannot_decode,
)
def mend_torchvision_backend() -> None:
    from slowfast.datasets import decoder

    decoder.io = TorchvisionIo()


def fails_with_pyav(decode: Callable) -> bool:
    """Whether this `slowfast.datasets.decoder.decode` fails with backend "pyav", tried on a tiny video."""
    video = io.BytesIO()
    with av.open(video, "w", format="avi") as container:
        stream = container.add_stream("rawvideo", rate=30)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        for number in range(4):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
    video.seek(0)
    try:
        # It catches what goes wrong, and prints it.
        with contextlib.redirect_stdout(io.StringIO()), av.open(video) as container:
            frames, *_ = decode(container, [1], [2], 0, 1, video_meta={}, target_fps=30, backend="pyav")
            return [len(clip) for clip in frames] != [2]
    except Exception:  # whatever a changed decoder may raise
        return True


def _pyav_backend_fails() -> bool:
    from slowfast.datasets import decoder

    return fails_with_pyav(decoder.decode)


@cure(
    DECODING_CURES,
    "slowfast.datasets.decoder.decode",
    "any version: DATA.DECODING_BACKEND pyav calculates with lists, so no video can be read; it is taken for "
    "torchvision",
    present=_pyav_backend_fails,
)
def mend_pyav_backend() -> None:
    from slowfast.datasets import decoder, video_container

    decoder.decode = without_pyav(decoder.decode)
    video_container.get_video_container = without_pyav(video_container.get_video_container)


def without_pyav(function: Callable) -> Callable:
    """The same function, except that its argument `backend` takes "pyav" for "torchvision"."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.arguments["backend"] == "pyav":
            bound.arguments["backend"] = "torchvision"
        return function(*bound.args, **bound.kwargs)

    return call
