"""A written program beside the model that it is of: the same inputs, and how far the answers are apart.

Legend: T frames, D width of a feature, N images, C side of the crop.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from slowfast_ext.models import VTN
from slowfast_ext.programs.forms import Run
from vtn.errors import InputError

# What sums of floats in another order may differ by, in parts of the largest value.
TOLERANCE = 1e-4
IMAGES = (1, 2, 5)
FRAMES = (1, 16, 250, 1000)
_SHORT_VIDEO = 20  # frames, which 250 of a full video repeat
_FAR = 10_000  # the number of a frame that no table of positions has


@dataclass(frozen=True)
class Case:
    """Inputs of a program, and in words what is with them."""

    words: str
    inputs: tuple[torch.Tensor, ...]


def cases_of(name: str, model: VTN, crop_size: int) -> Iterator[Case]:
    """Random inputs, always the same, for the program `backbone` or `temporal`."""
    random = torch.Generator().manual_seed(0)
    if name == "backbone":
        for count in IMAGES:
            images = torch.randn(count, 3, crop_size, crop_size, generator=random)
            yield Case(f"{count} frame{'s' * (count > 1)}", (images,))
        return
    numbers = {f"{count:,} feature{'s' * (count > 1)}": torch.arange(count)[None] for count in FRAMES}
    numbers["a short video"] = (torch.arange(250) * (_SHORT_VIDEO - 1) // 249)[None]
    numbers["beyond the positions"] = (torch.arange(250) * 97 + _FAR)[None]
    numbers["2 videos"] = torch.stack([torch.arange(100), torch.arange(100) * 40])
    for words, indices in numbers.items():
        yield Case(words, (torch.randn(*indices.shape, model.embed_dim, generator=random), indices))


def expected(name: str, model: VTN) -> Callable[..., list[torch.Tensor]]:
    """What the model itself gives for the inputs of a program."""

    def encode(images: torch.Tensor) -> list[torch.Tensor]:
        return [model.backbone(images)]

    def classify(features: torch.Tensor, indices: torch.Tensor) -> list[torch.Tensor]:
        logits = model.classify(features, indices)
        return [logits, logits.softmax(dim=1)]

    return encode if name == "backbone" else classify


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """What fails inside, in one of the many ways of tracers and runtimes, becomes one sentence.

    Raises:
        InputError: With the first words of what they said.
    """
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{what} ({reason[:200]}), so nothing is kept") from error


def require_equal(name: str, model: VTN, run: Run, crop_size: int) -> dict[str, float]:
    """Run a program and the model side by side.

    Args:
        name: "backbone" or "temporal".
        model: In evaluation mode, on the CPU.
        run: The program, read from its file.
        crop_size: C.

    Returns:
        For each case the largest difference, in parts of the largest value that the model gives.

    Raises:
        InputError: If one is above TOLERANCE or no number, or the program does not run.
    """
    found = {}
    for case in cases_of(name, model, crop_size):
        with torch.no_grad():
            wanted = expected(name, model)(*case.inputs)
            with explained(f"the {name} that was written does not run with {case.words}"):
                given = run(*case.inputs)
        # A tensor's maximum is nan where one of its numbers is; Python's may pass over it.
        difference = torch.stack(list(map(_difference, wanted, given))).max().item()
        if not difference <= TOLERANCE:
            raise InputError(
                f"the {name} that was written differs from the model by {difference:.1e} with {case.words}, "
                f"more than {TOLERANCE:.0e}, so nothing is kept"
            )
        found[case.words] = difference
    return found


def _difference(wanted: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """The largest, in parts of the largest value; infinite where shapes differ."""
    if wanted.shape != given.shape:
        return torch.tensor(float("inf"))
    return (wanted - given).abs().max() / wanted.abs().max().clamp(min=1e-6)
