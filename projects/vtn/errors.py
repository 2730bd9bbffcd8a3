"""The one exception that means "the user gave something that cannot work", and how it quotes that."""


class InputError(ValueError):
    """Bad input: a file, key or value that cannot be used.

    The message is one sentence that names it. Command lines print the message and exit with a non-zero
    status; no traceback is shown, because nothing in the program is wrong.
    """


def excerpt(text: str, limit: int = 100) -> str:
    """A text in quotes, as messages show it: of one longer than `limit` the beginning, and its length."""
    if len(text) <= limit:
        return repr(text)
    return f"{text[:limit]!r}... ({len(text):,} characters)"
