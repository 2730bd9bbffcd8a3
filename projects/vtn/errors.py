"""The one exception that means "the user gave something that cannot work"."""


class InputError(ValueError):
    """Bad input: a file, key or value that cannot be used.

    The message is one sentence that names it. Command lines print the message and exit with a non-zero
    status; no traceback is shown, because nothing in the program is wrong.
    """
