"""What is compared: configurations, named by their files, and what must be right before work starts."""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fvcore.common.config import CfgNode

from slowfast_ext.config import load_config
from slowfast_ext.config_adapt import on_our_data
from slowfast_ext.data.video_list import read_video_list
from slowfast_ext.files import feed
from slowfast_ext.flops import load_on_meta
from slowfast_ext.host import get_host
from slowfast_ext.host.places import list_checkpoints
from slowfast_ext.models import build_on_meta
from slowfast_ext.protocols import PROTOCOLS
from slowfast_ext.recipe import CLASSES, split_class_names
from vtn import checkpoint as vtn_checkpoint
from vtn.errors import InputError

_OURS_TO_SET = {"OUTPUT_DIR": "--out", "TEST.CHECKPOINT_FILE_PATH": "--checkpoint", "TRAIN.ENABLE": "--train"}
_ONLY_TRAINING = ("TRAIN.ENABLE", "True", "TEST.ENABLE", "False", "TRAIN.AUTO_RESUME", "True")
_ONLY_TEST = ("TRAIN.ENABLE", "False", "TEST.ENABLE", "True")
# Models whose weights must all be in a checkpoint under their own names; main interpolates those of others.
_CHECKED_MODELS = ("VTN", "SlowFast", "ResNet")
_BYTES_OF_A_WEIGHT = 4
_COPIES = {"sgd": 2, "adam": 3, "adamw": 3}  # of the weights in a checkpoint, with the optimizer's


@dataclass(frozen=True)
class Contender:
    """One configuration of a comparison.

    Attributes:
        name: That of its file, without the ending.
        path: The file.
        overrides: Keys and values in turn, for every use of it.
        checkpoint: The file to test, if one was given.
        train: Whether it is trained.
        switched_off: What it asks for and our data sets do not do: keys with their values.
    """

    name: str
    path: Path
    overrides: tuple[str, ...]
    checkpoint: Path | None = None
    train: bool = False
    switched_off: tuple[str, ...] = ()

    @property
    def is_tested(self) -> bool:
        """Whether it has weights that are worth a test."""
        return self.train or self.checkpoint is not None

    def training_overrides(self) -> tuple[str, ...]:
        """Keys and values of its training."""
        return (*self.overrides, *_ONLY_TRAINING)

    def test_overrides(self, protocol: str) -> tuple[str, ...]:
        """Keys and values of a test under that protocol."""
        return (*self.overrides, *_ONLY_TEST, *PROTOCOLS[protocol])

    @cached_property
    def cfg(self) -> CfgNode:
        """Its complete configuration."""
        return load_config(self.path, self.overrides)

    @cached_property
    def is_vtn(self) -> bool:
        """Whether it is a Video Transformer Network."""
        return self.cfg.MODEL.MODEL_NAME == "VTN"


def read_contenders(
    paths: Sequence[str],
    overrides: Sequence[str],
    *,
    out: Path,
    train: bool = False,
    checkpoints: Sequence[str] = (),
) -> list[Contender]:
    """Load every configuration, and check what can be checked before work starts.

    Args:
        paths: YAML files; the name of each must be its own.
        overrides: Keys and values in turn, for all of them.
        out: Folder of the comparison.
        train: Train those that have no checkpoint.
        checkpoints: NAME=FILE, for names of `paths`.

    Raises:
        InputError: Names the file, the key or the argument.
    """
    for key, instead in _OURS_TO_SET.items():
        if key in overrides[::2]:
            raise InputError(f"{key} is not for this command, which sets it itself: use {instead}")
    named = _by_name(paths)
    files = _checkpoint_files(checkpoints, list(named))
    contenders = []
    for name, path in named.items():
        extra, switched_off = on_our_data(path, overrides)
        everything = (*extra, *overrides, "OUTPUT_DIR", str(out))
        cfg = load_config(path, everything)
        everything = (*_classes_of_the_data(cfg, overrides), *everything)
        file = files.get(name)
        contenders.append(
            Contender(name, path, everything, file, train and file is None, tuple(switched_off))
        )
    _check_lists(contenders)
    for contender in contenders:
        _check_checkpoint(contender)
    _check_room(contenders, out)
    return contenders


def _by_name(paths: Sequence[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in map(Path, paths):
        if path.stem in named:
            raise InputError(
                f"--cfg {named[path.stem]} and --cfg {path} have one name, {path.stem}, which is what rows "
                "and folders are called: copy one to a file with another name"
            )
        named[path.stem] = path
    return named


def _checkpoint_files(given: Sequence[str], names: Sequence[str]) -> dict[str, Path]:
    files = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals or not file:
            raise InputError(f"--checkpoint {text}: it must be NAME=FILE, with a name of {', '.join(names)}")
        if name not in names:
            raise InputError(
                f"--checkpoint {text}: no configuration is named {name}, only {', '.join(names)}"
            )
        if name in files:
            raise InputError(f"--checkpoint gives {name} two files, {files[name]} and {file}")
        if not Path(file).is_file():
            raise InputError(f"--checkpoint {text}: there is no file {file}")
        files[name] = Path(file)
    return files


def class_names(data_dir: str) -> tuple[str, ...]:
    """The names in the folder's classes.txt, one in each line; none if there is no such file."""
    path = Path(data_dir) / CLASSES
    if not data_dir or not path.is_file():
        return ()
    return split_class_names(path.read_text(encoding="utf-8-sig", errors="replace"))


def _classes_of_the_data(cfg: CfgNode, overrides: Sequence[str]) -> tuple[str, ...]:
    """MODEL.NUM_CLASSES as classes.txt has it, unless it was given."""
    count = len(class_names(cfg.DATA.PATH_TO_DATA_DIR))
    if not count or "MODEL.NUM_CLASSES" in overrides[::2]:
        return ()
    return ("MODEL.NUM_CLASSES", str(count))


def splits_of(contender: Contender) -> tuple[str, ...]:
    """Which lists it needs: none if only its costs are counted."""
    if contender.train:
        return ("train", "val", "test")
    needed = contender.is_tested or contender.cfg.DATA.PATH_TO_DATA_DIR
    return ("test",) if needed else ()


def _check_lists(contenders: Sequence[Contender]) -> None:
    read = set()
    for contender in contenders:
        cfg = contender.cfg
        separator, prefix = cfg.DATA.PATH_LABEL_SEPARATOR, cfg.DATA.PATH_PREFIX
        for split in splits_of(contender):
            how = (list_file(contender, split), cfg.MODEL.NUM_CLASSES, separator, prefix)
            if how not in read:
                read_video_list(how[0], num_classes=how[1], separator=separator, path_prefix=prefix)
                read.add(how)
        if contender.train and (count := count_videos(contender, "train")) < cfg.TRAIN.BATCH_SIZE:
            raise InputError(
                f"TRAIN.BATCH_SIZE of {contender.name} is {cfg.TRAIN.BATCH_SIZE} but "
                f"{list_file(contender, 'train')} has only {count} videos: there is not one whole batch; "
                f"list more videos, or add TRAIN.BATCH_SIZE {count}"
            )


def list_file(contender: Contender, split: str) -> Path:
    """The list of a split."""
    return Path(contender.cfg.DATA.PATH_TO_DATA_DIR) / f"{split}.csv"


def count_videos(contender: Contender, split: str) -> int:
    """Rows of a list that was checked."""
    text = list_file(contender, split).read_text(encoding="utf-8-sig")
    return sum(bool(row.strip()) for row in text.splitlines())


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    found = hashlib.sha256()
    feed(found, path)
    return found.hexdigest()


def _check_checkpoint(contender: Contender) -> None:
    """Refuse a file of another number of classes, or one that is not of this model."""
    cfg, path = contender.cfg, contender.checkpoint
    if path is None or cfg.MODEL.MODEL_NAME not in _CHECKED_MODELS or cfg.TEST.CHECKPOINT_TYPE == "caffe2":
        return
    found = vtn_checkpoint.weights_of(vtn_checkpoint.read_checkpoint(path), path)
    wanted = build_on_meta(cfg).state_dict()
    _, report = vtn_checkpoint.compare_weights(found, wanted)
    classes = cfg.MODEL.NUM_CLASSES
    for there, here in report.other_shape.values():
        if here[0] == classes and there[1:] == here[1:]:
            raise InputError(
                f"--checkpoint {contender.name}={path} is for {there[0]} classes, but the data set has "
                f"{classes} (MODEL.NUM_CLASSES)"
            )
    vtn_checkpoint.match_weights(found, wanted, path, advice="use the configuration that it was trained with")


def _check_room(contenders: Sequence[Contender], out: Path) -> None:
    """Refuse trainings whose checkpoints do not fit on the disk of `out`."""
    trained = [contender for contender in contenders if contender.train]
    needed = sum(
        _checkpoint_bytes(each, list_checkpoints(str(out / each.name / "train"))) for each in trained
    )
    there = next(path for path in (out, *out.resolve().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise InputError(
            f"--out {out}: the checkpoints of these trainings take about {needed / 2**30:.1f} GiB and there "
            f"are {free / 2**30:.1f} GiB free: raise TRAIN.CHECKPOINT_PERIOD or use another disk"
        )


def _checkpoint_bytes(contender: Contender, there: Sequence[str]) -> int:
    """About what the checkpoints of a training take, without those that are `there` already."""
    cfg = contender.cfg
    weights = sum(weight.numel() for weight in build_on_meta(cfg).state_dict().values())
    files = -(-cfg.SOLVER.MAX_EPOCH // max(1, cfg.TRAIN.CHECKPOINT_PERIOD)) + 1
    return (
        max(0, files - len(there))
        * weights
        * _BYTES_OF_A_WEIGHT
        * _COPIES.get(cfg.SOLVER.OPTIMIZING_METHOD, 3)
    )


def what_decides(contender: Contender, what: str) -> Mapping[str, str]:
    """What the outcome of a step depends on: names, for sentences, and digests.

    Args:
        contender: The model.
        what: "train", or a protocol.
    """
    training = what == "train"
    overrides = contender.training_overrides() if training else contender.test_overrides(what)
    cfg = load_config(contender.path, overrides).clone()
    cfg.defrost()
    cfg.OUTPUT_DIR = ""
    if training:
        cfg.TEST = CfgNode()
    decides = {"configuration": hashlib.sha256(cfg.dump().encode()).hexdigest()}
    decides["PySlowFast"] = get_host().NAME
    splits = ("train", "val") if training else splits_of(contender)[-1:]
    return decides | {f"{split}.csv": digest(list_file(contender, split)) for split in splits}


def load_model_of(contender: Contender, protocol: str):
    """Its configuration under a protocol, and its model without memory; see `load_on_meta`."""
    return load_on_meta(contender.path, contender.test_overrides(protocol))
