"""Where the demonstration reads and writes."""

from dataclasses import dataclass
from pathlib import Path

from slowfast_ext.host.checkpoint import list_checkpoints
from vtn.errors import InputError

MODELS = ("VTN", "I3D", "SlowFast")


@dataclass(frozen=True)
class Protocol:
    """One way to test.

    Attributes:
        name: For tables and, with _ for the hyphen, for folders.
        overrides: Configuration keys and values in turn.
    """

    name: str
    overrides: tuple[str, ...]


PROTOCOLS = (
    Protocol(
        "multi-view",
        ("TRAIN.EVAL_FULL_VIDEO", "False", "TEST.NUM_ENSEMBLE_VIEWS", "10", "TEST.NUM_SPATIAL_CROPS", "3"),
    ),
    Protocol(
        "full-video",
        ("TRAIN.EVAL_FULL_VIDEO", "True", "TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1"),
    ),
)


@dataclass(frozen=True)
class Layout:
    """Paths of one demonstration.

    Attributes:
        root: The project's folder, with tools/ and configs/Demo/.
        out: Folder for everything that is made, absolute.
    """

    root: Path
    out: Path

    @property
    def data(self) -> Path:
        """The data set: lists, videos, annotations.json."""
        return self.out / "data"

    def config(self, name: str) -> Path:
        """A YAML file of the demonstration: a model's, or Base."""
        return self.root / "configs" / "Demo" / f"{name}.yaml"

    def training(self, model: str) -> Path:
        """OUTPUT_DIR of a model's training."""
        return self.out / model / "train"

    def test(self, model: str, protocol: Protocol) -> Path:
        """OUTPUT_DIR of one test of a model."""
        return self.out / model / protocol.name.replace("-", "_")

    def checkpoint(self, model: str) -> Path:
        """The newest checkpoint of a model that has been trained.

        Raises:
            InputError: If it is gone.
        """
        paths = list_checkpoints(str(self.training(model)))
        if not paths:
            raise InputError(
                f"{self.training(model)} holds no checkpoint any more: delete it to train again."
            )
        return Path(paths[0])
