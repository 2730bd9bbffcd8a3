"""The configuration and the printed model, in files: in the log they would fill hundreds of lines."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fvcore.common.config import CfgNode
from torch import nn

from slowfast_ext.distributed import is_master, unwrap
from slowfast_ext.engine.nonfinite import NonFiniteError
from slowfast_ext.engine.start import Source
from slowfast_ext.files import write_text
from slowfast_ext.host import get_host
from slowfast_ext.host.places import list_saved
from vtn.errors import InputError

_NAMES = ("config.yaml", "model.txt")


@contextmanager
def training_record(cfg: CfgNode, source: Source | None) -> Iterator[None]:
    """Write the configuration of a training; if the training is refused, put back what was there.

    A refused run has trained nothing, so what the folder says about the run before is still true.

    Args:
        cfg: Of the training, as this process got it.
        source: What the training starts from.
    """
    folder, saved = Path(cfg.OUTPUT_DIR), list_saved(cfg.OUTPUT_DIR)
    before = {path: path.read_bytes() for path in _records(folder)}
    write_training_config(cfg, source)
    try:
        yield
    except NonFiniteError:
        raise  # something was trained
    except InputError:
        if is_master() and list_saved(cfg.OUTPUT_DIR) == saved:
            for path in set(_records(folder)) - set(before):
                path.unlink()
            for path, content in before.items():
                path.write_bytes(content)
        raise


def _records(folder: Path) -> list[Path]:
    """Files that say what was trained."""
    return [
        *folder.glob("config_until_epoch_*.yaml"),
        *(folder / n for n in _NAMES if (folder / n).is_file()),
    ]


def write_training_config(cfg: CfgNode, source: Source | None) -> None:
    """Write OUTPUT_DIR/config.yaml, which loads again with --cfg; only the first process does.

    If the run continues one with another configuration, that file is kept as config_until_epoch_*.yaml.

    Args:
        cfg: Of the training, as this process got it.
        source: What the training starts from.
    """
    path = Path(cfg.OUTPUT_DIR) / "config.yaml"
    continues = source is not None and source.path in list_saved(cfg.OUTPUT_DIR)
    if is_master() and continues and path.is_file() and path.read_text(encoding="utf-8") != _text(cfg):
        place = Path(source.path).stem.partition("epoch_")[2]  # of one inside an epoch with its iterations
        earlier = path.replace(path.with_name(f"config_until_epoch_{place}.yaml"))
        logger = get_host().get_logger(__name__)
        logger.warning("The run so far had another configuration, kept in %s", earlier)
    _write_config(cfg, path)


def write_test_config(cfg: CfgNode) -> None:
    """Write OUTPUT_DIR/config_test.yaml, so that config.yaml still tells what was trained."""
    _write_config(cfg, Path(cfg.OUTPUT_DIR) / "config_test.yaml")


def _write_config(cfg: CfgNode, path: Path) -> None:
    if is_master():
        _write(path, _text(cfg))
        get_host().get_logger(__name__).info("Configuration: %s", path)


def _text(cfg: CfgNode) -> str:
    """A complete configuration as YAML that gives the same one when it is loaded."""
    cfg = cfg.clone()
    cfg.defrost()
    cfg.SOLVER.BASE_LR_SCALE_NUM_SHARDS = False  # already done to the rates in it
    return cfg.dump()


def write_model(model: nn.Module, cfg: CfgNode, *, train: bool) -> Path:
    """Write the printed model to OUTPUT_DIR/model.txt, that of a test to model_test.txt; returns the path."""
    path = Path(cfg.OUTPUT_DIR) / ("model.txt" if train else "model_test.txt")
    _write(path, f"{unwrap(model)}\n")
    return path


def _write(path: Path, text: str) -> None:
    """Write a file of a run, whose folder may not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
