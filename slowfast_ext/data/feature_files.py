"""Files with the frame features of one video: written whole or not at all, checked when they are read.

Legend: n frames with a feature, D its width, V frames of the video.
"""

import json
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from slowfast_ext.video import VideoError
from vtn.errors import InputError
from vtn.weight_files import whole_file

SUFFIX = ".safetensors"
_HEAD = 8  # bytes before a safetensors file's header, with the length of it


@dataclass(frozen=True, eq=False)
class VideoFeatures:
    """Features of a video, with what its frames are chosen by, as slowfast_ext.video.VideoReader.info has it.

    Attributes:
        features: (n, D) float32.
        frames: (n,) int64, number of the frame of each, rising.
        shown: (V,) int64, for each number of a frame the one that is on the screen then.
        fps: Average rate, frames per second.
        missing: What the video lacks, in words; empty if nothing.
    """

    features: torch.Tensor
    frames: torch.Tensor
    shown: torch.Tensor
    fps: float
    missing: str = ""

    @property
    def num_frames(self) -> int:
        """V."""
        return len(self.shown)

    @property
    def seconds(self) -> float:
        """Length of the video; 0 if it is not known."""
        return self.num_frames / self.fps if self.fps else 0.0

    def on_screen(self, frame_indices: torch.Tensor) -> torch.Tensor:
        """As VideoInfo.on_screen."""
        return self.shown[frame_indices]

    def of_frames(self, frame_indices: torch.Tensor) -> torch.Tensor | None:
        """Features of frames that are on the screen, (T,) to (T, D); None if one has none."""
        places = torch.searchsorted(self.frames, frame_indices).clamp(max=len(self.frames) - 1)
        return self.features[places] if torch.equal(self.frames[places], frame_indices) else None


def write_features(path: Path, found: VideoFeatures, key: str) -> int:
    """Write a file; it gets its name when it is complete and on disk.

    Args:
        path: The file.
        found: Its content.
        key: What it is of, in any words; reading compares it.

    Returns:
        Its size, bytes.

    Raises:
        InputError: If that is not possible, as when the disk is full; what was there stays.
    """
    tensors = _tensors(found)
    notes = {"key": key, "fps": repr(found.fps), "missing": found.missing}
    content = save(tensors, {**notes, "checksum": _checksum(tensors, notes)})
    try:
        with whole_file(path, unfinished(path)) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error
    return len(content)


def read_features(path: Path, key: str) -> VideoFeatures:
    """Read a file and check all of it.

    Args:
        path: The file.
        key: What it must be of.

    Raises:
        VideoError: If it is gone, damaged or of something else.
    """
    try:
        content = path.read_bytes()
        tensors, notes = load(content), _notes(content)
        checksum = notes.pop("checksum")
        found = VideoFeatures(
            **{name: tensors[name] for name in ("features", "frames", "shown")},
            fps=float(notes["fps"]),
            missing=notes["missing"],
        )
    except OSError as error:
        raise VideoError(f"the features in {path} cannot be read: {error.strerror}.") from error
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VideoError(f"the features in {path} are damaged: make them anew.") from error
    if checksum != _checksum(tensors, notes):
        raise VideoError(f"the features in {path} are damaged: make them anew.")
    if notes["key"] != key:
        raise VideoError(f"{path} holds the features of something else: make them anew.")
    return found


def unfinished(path: Path) -> Path:
    """Where a file is written until it is complete."""
    return path.with_name(f".{path.name}.part")


def _notes(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file that has been read."""
    length = int.from_bytes(content[:_HEAD], "little")
    return dict(json.loads(content[_HEAD : _HEAD + length])["__metadata__"])


def _tensors(found: VideoFeatures) -> dict[str, torch.Tensor]:
    return {
        "features": found.features.float().contiguous(),
        "frames": found.frames.contiguous(),
        "shown": found.shown.contiguous(),
    }


def _checksum(tensors: dict[str, torch.Tensor], notes: dict[str, str]) -> str:
    total = zlib.crc32(json.dumps(notes, sort_keys=True).encode())
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].flatten().view(torch.uint8).numpy(), total)
    return f"{total:08x}"
