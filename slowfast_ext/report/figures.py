"""What all pictures share: colours, a quiet frame, and saving."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vtn.errors import InputError

# Can be told apart by readers who confuse red and green. Models take them in order.
COLOURS = ("#c1272d", "#0072b2", "#e69f00", "#009e73", "#7b4fa0", "#555555")
INK = "#222222"


def colour_of(index: int) -> str:
    """Colour of the model with this index; the seventh has the colour of the first."""
    return COLOURS[index % len(COLOURS)]


def quiet(axes: Axes) -> None:
    """Remove the box and put a faint grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)


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
