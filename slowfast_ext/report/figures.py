"""What all pictures share: colours, markers, printable names, a quiet frame, and saving."""

import functools
from collections.abc import Iterable
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from vtn.errors import InputError

# Can be told apart by readers who confuse red and green. Models take them in order.
COLOURS = (
    *("#c1272d", "#0072b2", "#e69f00", "#009e73", "#7b4fa0", "#555555"),
    *("#56b4e9", "#5b0f18", "#d36ba8", "#a6761d", "#1b2a7a", "#a8a8a8"),
)
INK = "#222222"
_MARKERS = ("o", "^", "s", "D")
# So many runs have one marker, the next so many have the next one.
_RUNS_OF_A_MARKER = 6
# Characters in the lines of a legend below the axes, beside the marks, for each inch of width.
_CHARACTERS_PER_INCH = 11


def colour_of(index: int) -> str:
    """Colour of the model with this index; the thirteenth has the colour of the first."""
    return COLOURS[index % len(COLOURS)]


def marker_of(index: int) -> str:
    """Marker of the run with this index: with its colour, it is told from 23 others."""
    return _MARKERS[index // _RUNS_OF_A_MARKER % len(_MARKERS)]


def printable(name: str, otherwise: str = "?", *, longest: int = 60) -> str:
    """A name as Matplotlib can draw it.

    Args:
        name: Whatever a user called something.
        otherwise: Is drawn where the font lacks a character of the name.
        longest: Characters; what is longer loses its end.
    """
    if any(ord(character) not in _characters() for character in name):
        return otherwise
    short = name if len(name) <= longest else name[: longest - 1] + "…"
    # A pair of dollar signs would be taken for a formula, and a legend leaves out what begins with _.
    return (" " if name.startswith("_") else "") + short.replace("$", r"\$")


@functools.cache
def _characters() -> frozenset[int]:
    """What Matplotlib's own font can draw."""
    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def legend_below(figure: Figure, handles: Iterable[Artist]) -> None:
    """Put a legend below all axes, where it hides nothing, in as many columns as its names leave room for."""
    handles = list(handles)
    longest = max(len(str(handle.get_label())) for handle in handles) + 6
    columns = max(1, int(figure.get_size_inches()[0] * _CHARACTERS_PER_INCH) // longest)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), columns),
        frameon=False,
        fontsize=9,
    )


def quiet(axes: Axes) -> None:
    """Remove the box and put a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)


def entitle(axes: Axes, words: str) -> None:
    """Write a title above the left end."""
    axes.set_title(words, fontsize=10, loc="left", color=INK)


def save(figure: Figure, path: Path) -> None:
    """Write the picture; the suffix decides the format.

    Raises:
        InputError: If the file cannot be written or the format is unknown.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, bbox_inches="tight", facecolor="white")
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write the picture {path}: {error}.") from error
