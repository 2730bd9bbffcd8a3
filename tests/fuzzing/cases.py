"""What a case number means: a kind of file, a damage, and random numbers."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from pathlib import Path

import av
import numpy as np

from fuzzing.damages import DAMAGES
from fuzzing.kinds import KINDS, SIZE, Kind, make_kind, paint_textured


@dataclass(frozen=True)
class Case:
    """One damaged file.

    Attributes:
        number: What everything else follows from.
        kind: Key of KINDS.
        damage: Key of DAMAGES.
        appended: The kind of which the other file is, where there is one behind the first; else None.
    """

    number: int
    kind: str
    damage: str
    appended: str | None

    @classmethod
    def of(cls, number: int) -> "Case":
        """The case with this number. All pairs of kind and damage come in turn, every kind early."""
        kinds, damages = list(KINDS), list(DAMAGES)
        kind, turn = number % len(kinds), number // len(kinds)
        damage = damages[(kind + turn) % len(damages)]
        rng = random.Random(f"other {number}")
        # As often two of one kind as two of different ones.
        appended = rng.choice([kinds[kind], rng.choice(kinds)]) if damage == "append" else None
        return cls(number, kinds[kind], damage, appended)

    @property
    def file_name(self) -> str:
        """Name of the damaged file."""
        return f"case{self.number}.{KINDS[self.kind].suffix}"

    def make(self, folder: Path) -> bytes:
        """The damaged file; the undamaged ones are kept in the folder."""
        other = b"" if self.appended is None else original(self.appended, folder).read_bytes()
        rng = random.Random(f"damage {self.number}")
        return DAMAGES[self.damage](original(self.kind, folder).read_bytes(), rng, other)


def choose_cases(
    first: int, how_many: int, kind: str | None = None, damage: str | None = None
) -> Iterator[Case]:
    """Cases from a number on, of one kind of file or damage if that is asked for."""
    cases = (Case.of(number) for number in count(first))
    chosen = (c for c in cases if kind in (None, c.kind) and damage in (None, c.damage))
    return islice(chosen, how_many)


def original(kind: str, folder: Path) -> Path:
    """The undamaged video of a kind, written once."""
    path = folder / f"original_{list(KINDS).index(kind)}.{KINDS[kind].suffix}"
    return path if path.exists() else make_kind(kind, path)


@dataclass(frozen=True)
class Reference:
    """What the undamaged video shows.

    Attributes:
        kind: Of file.
        small: Brightness of squares of its pictures, see block_means, (frames, rows, columns).
        noise: Grey levels by which the codec changed one at the most.
    """

    kind: Kind
    small: np.ndarray
    noise: float

    @property
    def painted(self) -> np.ndarray:
        """Number in each picture, (frames,)."""
        return np.arange(self.kind.skipped, self.kind.num_frames)


def block_means(pictures: np.ndarray, side: int = 8) -> np.ndarray:
    """Brightness of each square, (n, height // side, width // side), of pictures (n, height, width, 3)."""
    grey = pictures.mean(axis=-1, dtype=np.float32)
    n, height, width = grey.shape
    return grey.reshape(n, height // side, side, width // side, side).mean(axis=(2, 4))


@cache
def reference(kind: str, folder: Path) -> Reference:
    """Decode the undamaged video of a kind as PyAV does, without the project."""
    with av.open(str(original(kind, folder))) as container:
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    small, told = block_means(np.stack(pictures)), KINDS[kind]
    numbers = range(told.skipped, told.num_frames)
    painted = block_means(np.stack([paint_textured(number, SIZE) for number in numbers]))
    return Reference(told, small, float(np.abs(small - painted).max()))
