"""The videos of a job, divided into buckets by their names, whatever their order and number."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from slowfast_ext.files import feed, reason_of, write_text
from slowfast_ext.jobs.claims import Member
from slowfast_ext.jobs.lists import read_names
from slowfast_ext.jobs.names import BUCKETS, bucket_of, is_url, public_name
from vtn.errors import InputError
from vtn.weight_files import whole_file

# Files that names are divided into first: one of them at a time is held in memory, to be sorted.
_PARTS = 64
_CLAIM, _HEAD, _NAMES = "plan", "plan.json", "videos.txt"


@dataclass(frozen=True)
class JobPlan:
    """Videos, each once.

    Attributes:
        folder: Of the plan.
        digest: What tells it from others.
        num_rows: Of the lists.
        num_videos: Different ones.
        buckets: Of each that has videos, in order: where they begin in the file, its bytes, and how many.
        schemes: Of URLs, such as s3.
    """

    folder: Path
    digest: str
    num_rows: int
    num_videos: int
    buckets: dict[str, tuple[int, int, int]]
    schemes: tuple[str, ...]

    def names(self, bucket: str) -> list[str]:
        """Its videos."""
        begin, length, _ = self.buckets[bucket]
        with (self.folder / _NAMES).open("rb") as file:
            file.seek(begin)
            return file.read(length).decode("utf-8", "surrogateescape").split("\n")[:-1]


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
    buckets = {bucket: tuple(where) for bucket, where in head["buckets"].items()}
    return JobPlan(place, digest, **head | {"buckets": buckets, "schemes": tuple(head["schemes"])})


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
    """Names into a few files by their buckets, then each of these, by itself, into the one of the plan."""
    place.mkdir(mode=0o700)  # URLs may hold credentials
    schemes, buckets, num_rows, begin = set(), {}, 0, 0
    with contextlib.ExitStack() as opened:
        parts = [opened.enter_context(_open(place / f"part{number}", "w")) for number in range(_PARTS)]
        for name in names:
            num_rows += 1
            parts[int(bucket_of(name), 16) * _PARTS // BUCKETS].write(name + "\n")
            if is_url(name):
                schemes.add(name.partition("://")[0].lower())
    with whole_file(place / _NAMES) as file:
        for number in range(_PARTS):
            part, found = place / f"part{number}", defaultdict(dict)
            with _open(part, "r") as lines:
                for line in lines:
                    name = line[:-1]
                    found[bucket_of(name)].setdefault(public_name(name), name)
            for bucket in sorted(found):
                content = "".join(f"{found[bucket][public]}\n" for public in sorted(found[bucket]))
                begin += file.write(encoded := content.encode("utf-8", "surrogateescape"))
                buckets[bucket] = (begin - len(encoded), len(encoded), len(found[bucket]))
            part.unlink()
    num_videos = sum(count for _, _, count in buckets.values())
    head = {"num_rows": num_rows, "num_videos": num_videos, "buckets": buckets, "schemes": sorted(schemes)}
    write_text(place / _HEAD, json.dumps(head))


def _open(path: Path, mode: str) -> TextIO:
    return path.open(mode, encoding="utf-8", errors="surrogateescape", newline="\n")
