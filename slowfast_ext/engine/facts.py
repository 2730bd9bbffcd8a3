"""What a run records about its model: its size, and what one view costs."""

from dataclasses import asdict, dataclass

from torch import nn

from slowfast_ext.distributed import is_master, unwrap
from slowfast_ext.engine.exchange import log_exchange
from slowfast_ext.engine.run_files import write_model
from slowfast_ext.flops import count_flops, count_parameters, example_inputs, view_shape
from slowfast_ext.host import get_host

_KEPT = "facts_of_views"  # attribute of a model: what was counted, by the shape of the view


@dataclass(frozen=True)
class ModelFacts:
    """Size and cost of a model, under the names that test_results.json has.

    Attributes:
        parameters: All parameters, trained or not.
        gflops_per_view: Multiply-adds of convolutions and linear layers for one view, 1e9.
        product_gflops_per_view: Those of attention and non-local products, which come on top.
        frames_per_view: Frames of one view.
        crop_size_px: Side of one view, pixels.
    """

    parameters: int
    gflops_per_view: float
    product_gflops_per_view: float
    frames_per_view: int
    crop_size_px: int

    def __str__(self) -> str:
        return (
            f"{self.parameters:,} parameters, {self.gflops_per_view:.3f} GFLOPs per view of "
            f"{self.frames_per_view} frames of {self.crop_size_px}x{self.crop_size_px} (multiply-adds of "
            "convolutions and linear layers; attention and non-local products add "
            f"{self.product_gflops_per_view:.3f})"
        )


def model_facts(model: nn.Module, cfg, *, train: bool) -> ModelFacts:
    """Count a model on one training clip, or on one view of the test; counted once for each shape.

    Args:
        model: Wrapped for several processes or not.
        cfg: Complete configuration.
        train: A training clip.
    """
    model, shape = unwrap(model), view_shape(cfg, train=train)
    kept = model.__dict__.setdefault(_KEPT, {})
    if shape not in kept:
        count = count_flops(model, example_inputs(cfg, *shape))
        kept[shape] = ModelFacts(count_parameters(model), count.conv_linear, count.products, *shape)
    return kept[shape]


def is_counted(cfg) -> bool:
    """Whether the model takes nothing but a clip; main counts other models in its own way."""
    return not (cfg.DETECTION.ENABLE or cfg.get("TASK") or cfg.get("MASK", {}).get("ENABLE"))


def facts_for_log(model: nn.Module, cfg, *, train: bool) -> dict[str, int | float]:
    """The facts of `model_facts` as entries of json_stats and test_results.json.

    Empty in all processes but the first, for a model that takes more than a clip, and where LOG_MODEL_INFO is
    False: main counts nothing then, either.
    """
    if not (is_master() and cfg.LOG_MODEL_INFO and is_counted(cfg)):
        return {}
    return asdict(model_facts(model, cfg, train=train))


def log_model_info(model: nn.Module, cfg, *, train: bool) -> None:
    """Log what the model is and costs, once, and write it out; only the first process, if LOG_MODEL_INFO.

    For training, log what processes exchange, too.
    """
    if train:
        log_exchange(model, cfg)
    known = len(unwrap(model).__dict__.get(_KEPT, ()))
    facts = facts_for_log(model, cfg, train=train)
    if len(unwrap(model).__dict__.get(_KEPT, ())) == known:
        return
    name, path = type(unwrap(model)).__name__, write_model(model, cfg, train=train)
    logger = get_host().get_logger(__name__)
    logger.info("Model: %s, %s: %s", name, model_facts(model, cfg, train=train), path)
    get_host().log_json_stats({"_type": "model", **facts})
