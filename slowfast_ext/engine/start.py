"""What a run starts from: which checkpoint file, and whether published weights are needed."""

from dataclasses import dataclass

from fvcore.common.config import CfgNode
from torch import nn, optim

from slowfast_ext.distributed import is_master, said_by_first
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.host.checkpoint import is_new_in_video
from slowfast_ext.host.places import list_inside
from slowfast_ext.models import build_on_meta, make_model, published_weights, without_published_weights
from vtn import checkpoint as vtn_checkpoint
from vtn.errors import InputError

_ANOTHER_RUN = (
    "it lies in OUTPUT_DIR, which the training would continue: choose another OUTPUT_DIR, or set "
    "TRAIN.AUTO_RESUME False to start anew"
)
_ONLY_WHAT_FITS = "to load only what fits: TRAIN.CHECKPOINT_PARTIAL True"
_TEST_NEEDS_ALL = "a test needs every weight: use the configuration that the file was trained with"


def advice(*, for_test: bool, continues: bool) -> str:
    """What to do about a file that does not fit: it is tested, continued, or started from."""
    if for_test:
        return _TEST_NEEDS_ALL
    return _ANOTHER_RUN if continues else _ONLY_WHAT_FITS


@dataclass(frozen=True)
class Source:
    """A checkpoint file and how it is to be taken: arguments of `checkpoint.restore_checkpoint`."""

    path: str
    advice: str
    convert_from_caffe2: bool = False
    inflation: bool = False
    epoch_reset: bool = False
    partial: bool = False

    def load(self, model: nn.Module, optimizer: optim.Optimizer | None = None, **others) -> int:
        """Fill the model, and unless only weights are taken the optimizer and `others` that are not None.

        Args:
            model: Wrapped for several processes or not.
            optimizer: As for `restore_checkpoint`.
            **others: Its `scaler`, `average` and `run`.
        """
        options = {name: value for name, value in vars(self).items() if name != "path"}
        return checkpoint.restore_checkpoint(self.path, model, optimizer=optimizer, **options, **others)


def find_training_source(cfg: CfgNode, *, inside: bool = False) -> Source | None:
    """The newest checkpoint of OUTPUT_DIR if TRAIN.AUTO_RESUME, else TRAIN.CHECKPOINT_FILE_PATH or None.

    Args:
        cfg: Of the training.
        inside: Whether the loops that are to run can go on inside an epoch.
    """
    logger, section = get_host().get_logger(__name__), cfg.TRAIN
    newest = _newest_for_all if inside else checkpoint.newest_checkpoint
    own = newest(cfg.OUTPUT_DIR) if section.AUTO_RESUME else None
    if own is not None:
        logger.info("Load from last checkpoint, %s", own)
        return Source(own, advice(for_test=False, continues=True))
    if not section.CHECKPOINT_FILE_PATH:
        what = published_weights(cfg) or "random weights"
        logger.info("No TRAIN.CHECKPOINT_FILE_PATH: training starts from %s", what)
        return None
    logger.info("Load from given checkpoint file, %s", section.CHECKPOINT_FILE_PATH)
    if section.CHECKPOINT_PARTIAL:
        logger.info("TRAIN.CHECKPOINT_PARTIAL: its weights only, so epoch and optimizer start anew")
    return Source(
        section.CHECKPOINT_FILE_PATH,
        advice(for_test=False, continues=False),
        convert_from_caffe2=section.CHECKPOINT_TYPE == "caffe2",
        inflation=section.CHECKPOINT_INFLATE,
        epoch_reset=section.CHECKPOINT_EPOCH_RESET,
        partial=section.CHECKPOINT_PARTIAL,
    )


def _newest_for_all(output_dir: str) -> str | None:
    """The file that the first process finds: all must go on from the same place."""
    return said_by_first(checkpoint.newest_place(output_dir) if is_master() else None)


def find_test_source(cfg: CfgNode, *, required: bool = True) -> Source | None:
    """TEST.CHECKPOINT_FILE_PATH, else the newest checkpoint of OUTPUT_DIR, else the one of TRAIN, else None.

    A checkpoint inside an epoch is taken only where there is none after an epoch.

    Every weight must fit, whatever TRAIN.CHECKPOINT_PARTIAL says: testing random weights would tell nothing.

    Args:
        cfg: Of the test.
        required: Whether there must be one, unless TEST.RANDOM_WEIGHTS asks for a test without.

    Raises:
        InputError: If there must be one and is none.
    """
    logger = get_host().get_logger(__name__)
    own = None if cfg.TEST.CHECKPOINT_FILE_PATH else checkpoint.newest_checkpoint(cfg.OUTPUT_DIR)
    if own is None and not cfg.TEST.CHECKPOINT_FILE_PATH:
        own = checkpoint.first_readable(list_inside(cfg.OUTPUT_DIR))
    if own is not None:
        logger.info("Load from last checkpoint, %s", own)
        return Source(own, _TEST_NEEDS_ALL)
    for section in (cfg.TEST, cfg.TRAIN):
        if section.CHECKPOINT_FILE_PATH:
            logger.info("Load from given checkpoint file, %s", section.CHECKPOINT_FILE_PATH)
            caffe2 = section.CHECKPOINT_TYPE == "caffe2"
            return Source(section.CHECKPOINT_FILE_PATH, _TEST_NEEDS_ALL, convert_from_caffe2=caffe2)
    if required and not cfg.TEST.RANDOM_WEIGHTS:
        raise InputError(
            f"there is no checkpoint to test: none in {cfg.OUTPUT_DIR}, and TEST.CHECKPOINT_FILE_PATH is "
            "empty (TEST.RANDOM_WEIGHTS True tests a model that was not trained)"
        )
    if required:
        logger.warning("TEST.RANDOM_WEIGHTS: this model was not trained, and its scores mean nothing")
    return None


def without_needless_download(cfg: CfgNode, source: Source | None) -> CfgNode:
    """The configuration, without the keys that fetch published weights if `source` replaces all of those."""
    published = published_weights(cfg)
    if published is None or source is None or (source.partial and not _holds_published(source, cfg)):
        return cfg
    get_host().get_logger(__name__).info("Not fetched, because the checkpoint replaces them: %s", published)
    return without_published_weights(cfg)


def make_model_of(cfg: CfgNode, source: Source | None) -> nn.Module:
    """Build the model; published weights are not fetched if `source` replaces all of them."""
    return make_model(without_needless_download(cfg, source))


def _holds_published(source: Source, cfg: CfgNode) -> bool:
    """Whether a checkpoint has every weight that the model of `cfg` would take from published ones."""
    if source.convert_from_caffe2 or source.inflation:
        return False  # under other names or of other shapes; what it replaces is known only once it is loaded
    wanted = build_on_meta(cfg).state_dict()
    found = vtn_checkpoint.weights_of(vtn_checkpoint.read_checkpoint(source.path), source.path)
    _, report = vtn_checkpoint.compare_weights(found, wanted)
    if cfg.MODEL.MODEL_NAME == "VTN":
        return not any(name.startswith("backbone.") for name in report.kept)
    return all(is_new_in_video(name) for name in report.kept)
