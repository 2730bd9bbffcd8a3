"""The videos of a job, divided into buckets by their names, whatever their order and number."""

import hashlib
import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from slowfast_ext.files import feed, reason_of, write_text
from slowfast_ext.jobs.claims import Member
from slowfast_ext.jobs.lists import read_names
from slowfast_ext.jobs.names import bucket_of, is_url, public_name
from vtn.errors import InputError

# Names that are held in memory until they are written.
_HELD = 2**18
_CLAIM, _HEAD = "plan", "plan.json"


@dataclass(frozen=True)
class JobPlan:
    """Videos, each once.

    Attributes:
        folder: Of the plan.
        digest: What tells it from others.
        num_rows: Of the lists.
        num_videos: Different ones.
        buckets: How many videos each has that has any.
        schemes: Of URLs, such as s3.
    """

    folder: Path
    digest: str
    num_rows: int
    num_videos: int
    buckets: dict[str, int]
    schemes: tuple[str, ...]

    def names(self, bucket: str) -> list[str]:
        """Its videos."""
        return (self.folder / bucket).read_text(encoding="utf-8", errors="surrogateescape").split("\n")[:-1]


def make_plan(folder: Path, videos: Sequence[str], lists: Sequence[Path], member: Member) -> JobPlan:
    """Divide videos, unless that was done; of several processes one does it, and the others wait.

    Args:
        folder: Of the job.
        videos: Paths.
        lists: More of them, see read_names; they are read in pieces.
        member: This process.

    Raises:
        InputError: If a list cannot be used or the folder cannot be written.
    """
    digest = _digest(videos, lists)
    place = folder / "plans" / digest
    while not (place / _HEAD).exists():
        if not member.take(_CLAIM):
            time.sleep(0.5)
            continue
        part = place.with_name(f".{member.name}")
        try:
            if not (place / _HEAD).exists():
                _divide(part, _all(videos, lists))
                part.replace(place)
        except OSError as error:
            if not (place / _HEAD).exists():
                raise InputError(f"cannot write {part}: {reason_of(error)}.") from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
            member.give_back(_CLAIM)
    head = json.loads((place / _HEAD).read_text())
    return JobPlan(place, digest, **head | {"schemes": tuple(head["schemes"])})


def _digest(videos: Sequence[str], lists: Sequence[Path]) -> str:
    digest = hashlib.blake2b(json.dumps([os.getcwd(), *videos]).encode(), digest_size=8)
    for path in lists:
        digest.update(f"\n{path.absolute()}\n".encode("utf-8", "surrogateescape"))
        try:
            feed(digest, path)
        except OSError as error:
            raise InputError(f"--list {path}: {error.strerror}") from error
    return digest.hexdigest()


def _all(videos: Sequence[str], lists: Sequence[Path]) -> Iterator[str]:
    yield from videos
    for path in lists:
        yield from read_names(path)


def _divide(place: Path, names: Iterator[str]) -> None:
    place.mkdir(mode=0o700)  # URLs may hold credentials
    held: dict[str, list[str]] = defaultdict(list)
    num_rows, schemes = 0, set()
    for name in names:
        held[bucket_of(name)].append(name)
        num_rows += 1
        if is_url(name):
            schemes.add(name.partition("://")[0].lower())
        if num_rows % _HELD == 0:
            _write(place, held)
    _write(place, held)
    buckets = {path.name: _each_once(path) for path in sorted(place.iterdir())}
    head = {
        "num_rows": num_rows,
        "num_videos": sum(buckets.values()),
        "buckets": buckets,
        "schemes": sorted(schemes),
    }
    write_text(place / _HEAD, json.dumps(head))


def _write(place: Path, held: dict[str, list[str]]) -> None:
    for bucket, names in held.items():
        with (place / bucket).open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(names) + "\n")
    held.clear()


def _each_once(path: Path) -> int:
    """Leave each video of a bucket in it once, whatever the order of the lists; how many there are."""
    names = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")[:-1]
    once = {public_name(name): name for name in reversed(names)}
    text = "".join(f"{once[public]}\n" for public in sorted(once))
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    return len(once)
