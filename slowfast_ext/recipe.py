"""What a checkpoint of VTN records about its model, in vtn's own words, from the run's configuration."""

import functools
from pathlib import Path

from fvcore.common.config import CfgNode

from slowfast_ext.arguments import model_arguments
from slowfast_ext.host import get_host
from vtn import Recipe
from vtn.errors import InputError

CLASSES = "classes.txt"


def recipe_of(cfg: CfgNode, **chosen: int) -> Recipe:
    """Everything that is needed to use a checkpoint of this run without its configuration.

    Args:
        cfg: A complete configuration.
        **chosen: Arguments of the model that the configuration may leave to it, as it chose them.
    """
    data = cfg.DATA
    return Recipe(
        model=model_arguments(cfg) | chosen,
        mean=tuple(data.MEAN),
        std=tuple(data.STD),
        num_frames=data.NUM_FRAMES,
        sampling_rate=data.SAMPLING_RATE,
        target_fps=data.TARGET_FPS,
        full_video_frames=cfg.TRAIN.EVAL_NUM_FRAMES,
        short_side=data.TRAIN_JITTER_SCALES[0],
        crop_size=data.TEST_CROP_SIZE,
        class_names=class_names_of(cfg),
        authors_protocol=cfg.VTN.AUTHORS_PROTOCOL,
    )


def class_names_of(cfg: CfgNode) -> tuple[str, ...] | None:
    """Names of the classes of the data set, by class; None, with a warning if there is a file, if unknown."""
    return _read_class_names(cfg.DATA.PATH_TO_DATA_DIR, cfg.MODEL.NUM_CLASSES)


def split_class_names(text: str) -> tuple[str, ...]:
    """The names in the text of a classes.txt, one on each line."""
    names = tuple(" ".join(line.split()) for line in text.split("\n"))
    return names[:-1] if names[-1] == "" else names


def read_name_lines(path: Path, told: str) -> tuple[str, ...]:
    """The names in a file of them, one on each line, however many.

    Args:
        path: The file.
        told: Begins the sentence if there is no such file.

    Raises:
        InputError: If it cannot be read.
    """
    try:
        return split_class_names(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{told}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text (byte {error.start}).") from error


def read_class_names(path: Path, num_classes: int) -> tuple[str, ...]:
    """The names in a classes.txt, by class.

    Raises:
        InputError: Names the file, which does not name so many classes, one on each line.
    """
    names = read_name_lines(path, f"{path} cannot be read")
    if len(names) != num_classes:
        raise InputError(
            f"{path}: it has {len(names)} lines, but MODEL.NUM_CLASSES is {num_classes} (type "
            f"MODEL.NUM_CLASSES {len(names)})"
        )
    if not all(names):
        raise InputError(f"{path}: line {names.index('') + 1} is empty")
    return names


@functools.cache  # a process builds its model several times; it should complain about the file once
def _read_class_names(folder: str, num_classes: int) -> tuple[str, ...] | None:
    """Class names from `folder`/classes.txt; None, with a warning, if they are no use."""
    path = Path(folder) / CLASSES
    if not folder or not path.is_file():
        return None
    try:
        return read_class_names(path, num_classes)
    except InputError as error:
        get_host().get_logger(__name__).warning(
            "%s; it must have one name on each line, so checkpoints of this run hold no class names", error
        )
        return None
