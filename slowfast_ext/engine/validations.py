"""Which epochs of a run have been validated, and how: a small file beside the checkpoints.

A checkpoint is written before its epoch is validated. A run that was stopped in between finds here that the
validation is still to be done.
"""

from __future__ import annotations

import json
from pathlib import Path

from slowfast_ext.files import write_text
from vtn.errors import InputError


class Validations:
    """Errors of the validations of a run.

    Args:
        output_dir: OUTPUT_DIR.

    Attributes:
        path: The file.
        errors: Top-1 and top-5 error, percent, by epoch, from 0.
    """

    def __init__(self, output_dir: str) -> None:
        self._output_dir, self.path = output_dir, Path(output_dir, "checkpoints", "validations.json")
        self.errors: dict[int, tuple[float, float]] = {}

    def read(self, epochs: int) -> None:
        """Take those of the first `epochs` epochs from the file; one that cannot be read holds none."""
        try:
            for epoch, (top1, top5) in json.loads(self.path.read_text(encoding="utf-8")).items():
                self.errors[int(epoch) - 1] = float(top1), float(top5)
        except (OSError, ValueError, TypeError, AttributeError):
            pass
        self.errors = {epoch: errors for epoch, errors in self.errors.items() if epoch < epochs}

    def copy(self) -> Validations:
        """The same errors, of its own."""
        copy = Validations(self._output_dir)
        copy.errors = dict(self.errors)
        return copy

    def write(self) -> None:
        """Write the file, whose epochs count from 1.

        Raises:
            OSError: If it cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        told = {str(epoch + 1): errors for epoch, errors in sorted(self.errors.items())}
        try:
            write_text(self.path, json.dumps(told) + "\n")
        except InputError as error:
            raise error.__cause__ from None

    @property
    def best(self) -> int | None:
        """The first epoch with the lowest top-1 error; None if there is none."""
        return min(self.errors, key=lambda epoch: (self.errors[epoch][0], epoch), default=None)

    @property
    def least(self) -> tuple[float, float]:
        """The lowest top-1 and top-5 error so far, 100 where there is none."""
        columns = zip((100.0, 100.0), *self.errors.values(), strict=True)
        top1, top5 = (min(column) for column in columns)
        return top1, top5
