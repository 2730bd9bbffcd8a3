"""Words of a command line that names videos, and then keys of a configuration with their values."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from slowfast_ext.prepare.find import VIDEO_SUFFIXES
from vtn.errors import InputError


def videos_and_keys(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Videos, and the words from the first key on: VIDEO... [KEY VALUE]...

    Raises:
        InputError: If there is no video.
    """
    videos, keys = split_at_keys(words)
    if not videos:
        raise InputError("there is no video to draw: name one or more files after --cfg FILE")
    return videos, keys


def split_at_keys(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Files, if any, and the words from the first key on."""
    first = next((i for i, word in enumerate(words) if _is_key(word)), len(words))
    return list(words[:first]), list(words[first:])


def _is_key(word: str) -> bool:
    """Whether a word is a configuration's key, such as VTN.ATTENTION, and not a file, such as A.MP4."""
    looks_like_one = re.fullmatch(r"[A-Z_][A-Z0-9_]*(\.[A-Z0-9_]+)*", word) is not None
    return looks_like_one and Path(word).suffix.lower() not in VIDEO_SUFFIXES and not Path(word).exists()


def number_or(word: str) -> Callable[[str], int | str]:
    """A parser of numbers that also takes one word."""

    def parse(text: str) -> int | str:
        return text if text == word else int(text)

    parse.__name__ = f"number or {word}"
    return parse


def check_number(option: str, number: int | str, count: int, word: str, name: str) -> None:
    """Refuse a number that is not in 1 .. count, nor the word, of what `name` has so many of."""
    if number != word and not 1 <= number <= count:
        raise InputError(
            f"{option} is {number}: {name} has {option[2:]}s 1 to {count}; or type {option} {word}"
        )


def without_controls(text: str) -> str:
    """A text whose characters, such as those of a file's name, cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)
