"""Our side of the paper's tables 3 and 4: every number is counted when asked for, on the meta device.

The paper counts convolutions and linear layers, a multiply-add as one, and for VTN what the authors' code
executes. Ours executes less for the same logits, so both are given: `gflops` after the paper's convention,
`executed` for what runs here.

Shape legend: T frames, N = 1 + T tokens, P padded tokens, D width, F width inside the feed-forward part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from slowfast_ext.config_files import CONFIGS
from slowfast_ext.flops import (
    FlopCount,
    count_flops,
    count_parameters,
    example_inputs,
    load_on_meta,
    num_views,
    view_shape,
)
from slowfast_ext.protocols import OF_THE_PAPER, PROTOCOLS
from slowfast_ext.report.paper_numbers import NON_LOCAL_SLOWFAST, TABLE_3, TABLE_4, Cost, Runtime
from vtn import VTN

RELEASED_WINDOW = 18  # of the authors' configuration
TEXT_WINDOW = 32  # of the paper's text, section 4.1

Row = dict[str, str | int | float | None]

_NON_LOCAL_I3D = (
    "The paper does not describe its own non-local I3D: its 54 M, 2,625 and 1,266 follow from no published "
    "configuration. Ours is PySlowFast's non-local R50 at the clip length that the paper gives."
)


def authors_encoder_macs(
    num_frames: int, *, embed_dim: int, ffn_dim: int, num_layers: int, window: int = RELEASED_WINDOW
) -> int:
    """Multiply-adds of the linear layers that the authors' temporal encoder executes for one view.

    It is a stock Longformer, which applies every linear layer of every layer to all tokens, and it is given
    N = 1 + T tokens padded to P, the next multiple of twice the window. In each layer these are query, key,
    value, key_global, value_global and output (D x D each), the two of the feed-forward part (D x F each),
    and query_global (D x D) for CLS alone:

        P = ceil((1 + T) / (2 window)) * 2 window
        multiply-adds = num_layers * (P * (6 D^2 + 2 D F) + D^2)

    Args:
        num_frames: T.
        embed_dim: D.
        ffn_dim: F.
        num_layers: Layers.
        window: Total width in tokens.
    """
    multiple = 2 * window
    padded = -(-(1 + num_frames) // multiple) * multiple
    per_token = 6 * embed_dim**2 + 2 * embed_dim * ffn_dim
    return num_layers * (padded * per_token + embed_dim**2)


@dataclass(frozen=True)
class Measured:
    """What one configuration costs under one inference protocol.

    Attributes:
        frames, crop: Of one view.
        views: Of one video.
        params: Millions.
        count: What our code executes for one view.
        gflops: Of all views, after the paper's convention.
        gflops_text_window: The same with TEXT_WINDOW instead of RELEASED_WINDOW; None unless the model is
            VTN.
    """

    frames: int
    crop: int
    views: int
    params: float
    count: FlopCount
    gflops: float
    gflops_text_window: float | None


def measure(path: Path, overrides: tuple[str, ...]) -> Measured:
    """Count one configuration at the frames, crop and views that it really tests with."""
    cfg, model = load_on_meta(path, overrides)
    frames, crop = view_shape(cfg, train=False)
    views = num_views(cfg)
    count = count_flops(model, example_inputs(cfg, frames, crop, device="meta"))
    gflops, gflops_text_window = views * count.conv_linear, None
    if cfg.MODEL.MODEL_NAME == "VTN":
        gflops, gflops_text_window = (
            views * _as_the_authors(model, count, frames, window) for window in (RELEASED_WINDOW, TEXT_WINDOW)
        )
    return Measured(
        frames=frames,
        crop=crop,
        views=views,
        params=count_parameters(model) / 1e6,
        count=count,
        gflops=gflops,
        gflops_text_window=gflops_text_window,
    )


def _as_the_authors(model: VTN, count: FlopCount, num_frames: int, window: int) -> float:
    """1e9 multiply-adds of one view of VTN: backbone and head as counted, the encoder as the authors'."""
    encoder = authors_encoder_macs(
        num_frames,
        embed_dim=model.embed_dim,
        ffn_dim=model.sizes["ffn_dim"],
        num_layers=len(model.temporal_encoder.layers),
        window=window,
    )
    return count.parts["backbone"] + encoder / 1e9 + count.parts["mlp_head"]


def count_rows(say: Callable[[str], None] = print) -> tuple[list[Row], list[Row]]:
    """Count every row of both tables.

    Args:
        say: Called with a line of text before each count.

    Returns:
        rows: One for each number of the paper: table, model, inference, quantity ("params_M" or "gflops"),
            paper, ours, ratio (ours / paper), note, and fields that only one of the tables has.
        uncounted: model, inference, operator, calls, elements: operators without a formula, for one view of
            table 4.
    """

    @cache
    def measured(config: str, inference: str, extra: tuple[str, ...] = ()) -> Measured:
        say(f"counting {config}, {inference}{', non-local' if extra else ''}")
        return measure(CONFIGS / "Kinetics" / f"{config}.yaml", (*PROTOCOLS[inference], *extra))

    rows = [_params_row(row, measured) for row in TABLE_3] + [_gflops_row(row, measured) for row in TABLE_4]
    uncounted = [
        {
            "model": row.model,
            "inference": row.inference,
            "operator": use.operator,
            "calls": use.calls,
            "elements": use.elements,
        }
        for row in TABLE_4
        for use in measured(row.config, row.inference).count.uncounted
    ]
    return rows, uncounted


def _params_row(row: Runtime, measured: Callable[..., Measured]) -> Row:
    note = _NON_LOCAL_I3D if row.model == "NL I3D" else None
    if row.config == "SLOWFAST_16x8_R101":
        other = measured(row.config, row.inference, NON_LOCAL_SLOWFAST)
        note = (
            f"The paper's {row.params} M belong to the variant with non-local blocks, {other.params:.2f} "
            "M by our count (PySlowFast's c2/SLOWFAST_NLN_16x8_R101_50_50). Its GFLOPs belong to the "
            "plain model, which is counted here (c2/SLOWFAST_16x8_R101_50_50, with temporal kernels in 3, 4, "
            "6 and 3 blocks)."
        )
    ours = measured(row.config, row.inference).params
    return {
        **_row(3, row, "params_M", row.params, ours, note),
        "paper_top5": row.top5,
        "paper_train_minutes": row.train_minutes,
        "paper_epochs": row.epochs,
        "paper_val_minutes": row.val_minutes,
    }


def _gflops_row(row: Cost, measured: Callable[..., Measured]) -> Row:
    ours = measured(row.config, row.inference)
    note = _NON_LOCAL_I3D if row.model == "NL I3D" else None
    if row.config == "SLOWFAST_16x8_R101":
        others = {
            inference: measured(row.config, inference, NON_LOCAL_SLOWFAST) for inference in OF_THE_PAPER
        }
        totals = (f"{m.views * m.count.total:,.0f} ({inference})" for inference, m in others.items())
        note = (
            "The plain model, as in the paper's GFLOPs but not in its parameters: with non-local blocks, "
            f"their products included, it would be {' and '.join(totals)}."
        )
    if ours.gflops_text_window is not None:
        note = _vtn_note(measured)
    executed = ours.count
    return {
        **_row(4, row, "gflops", row.gflops, ours.gflops, note),
        "frames": ours.frames,
        "crop": ours.crop,
        "views": ours.views,
        "executed_conv_linear": ours.views * executed.conv_linear,
        "executed_products": ours.views * executed.products,
        "executed_total": ours.views * executed.total,
        "ours_text_window": ours.gflops_text_window,
    }


def _row(table: int, row: Runtime | Cost, quantity: str, paper: int, ours: float, note: str | None) -> Row:
    """The fields that both tables have."""
    return {
        "table": table,
        "model": row.model,
        "inference": row.inference,
        "quantity": quantity,
        "paper": paper,
        "ours": ours,
        "ratio": ours / paper,
        "note": note,
        "paper_top1": row.top1,
        "config": f"configs/Kinetics/{row.config}.yaml",
        "overrides": " ".join(PROTOCOLS[row.inference]),
    }


def _vtn_note(measured: Callable[..., Measured]) -> str:
    example = next(row for row in TABLE_4 if row.config == "VTN_R50")
    gflops = measured(example.config, example.inference).gflops_text_window
    excess = 100 * (gflops / example.gflops - 1)
    return (
        "Ours: backbone and head as counted, and the linear layers of the temporal encoder as the authors' "
        f"code executes them, on tokens padded to a multiple of {2 * RELEASED_WINDOW}, twice its window of "
        f"{RELEASED_WINDOW}. With the window of {TEXT_WINDOW} of the paper's text, {example.model}, "
        f"{example.inference}, would be {gflops:,.0f}, {excess:.1f} % above the paper."
    )
