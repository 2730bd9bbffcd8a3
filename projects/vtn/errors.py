"""The one exception that means "the user gave something that cannot work", and how it quotes and lists."""

from collections.abc import Sequence


class InputError(ValueError):
    """Bad input: a file, key or value that cannot be used.

    The message is one sentence that names it. Command lines print the message and exit with a non-zero
    status; no traceback is shown, because nothing in the program is wrong.

    Attributes:
        arguments: Names of arguments of VTN that the message speaks of, each as a word of it. A program in
            which users set them under other names can put those in their place.
    """

    def __init__(self, message: str, *, arguments: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.arguments = tuple(arguments)


def first_of(items: Sequence[str], limit: int) -> str:
    """The first `limit` things in a sentence, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(items) - limit} more" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def excerpt(text: str, limit: int = 100) -> str:
    """A text in quotes, as messages show it: of one longer than `limit` the beginning, and its length."""
    if len(text) <= limit:
        return repr(text)
    return f"{text[:limit]!r}... ({len(text):,} characters)"
