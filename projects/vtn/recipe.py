"""What weights alone do not say: how their model is built, and what pixels, frames and classes it expects.

A checkpoint holds it under the key "vtn", in plain values. A file may come from anybody, so every value is
checked before anything is built from it.
"""

import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from .errors import InputError, excerpt

ENTRY = "vtn"
_FORMAT = 1  # of the entry; a file with a higher number was written by a newer version

Rule = tuple[Callable[[Any], bool], str]


def _whole(most: int, least: int = 1) -> Rule:
    return (
        lambda value: type(value) is int and least <= value <= most,
        f"a whole number from {least} to {most}",
    )


def _number(least: float, most: float) -> Rule:
    def holds(value: Any) -> bool:
        return type(value) in (int, float) and least <= value <= most

    return holds, f"a number from {least:g} to {most:g}"


def _either(*rules: Rule) -> Rule:
    return lambda value: any(holds(value) for holds, _ in rules), " or ".join(must for _, must in rules)


def _several(rule: Rule, least: int, most: int) -> Rule:
    def holds(value: Any) -> bool:
        return isinstance(value, (list, tuple)) and least <= len(value) <= most and all(map(rule[0], value))

    count = str(least) if least == most else f"{least} to {most}"
    return holds, f"a list of {count}, each {rule[1]}"


def _text(most: int) -> Rule:
    def holds(value: Any) -> bool:
        if not isinstance(value, str) or not 0 < len(value) <= most:
            return False
        return all(unicodedata.category(character) != "Cc" for character in value)

    return holds, f"a text of 1 to {most} characters"


_NONE: Rule = (lambda value: value is None, "None")
_TRUTH: Rule = (lambda value: type(value) is bool, "True or False")
_PROBABILITY = _number(0, 1)
_MOST, _MOST_LAYERS, _MOST_SCALES, _MOST_PIXELS = 2**20, 100, 16, 4096
_SIZE, _NAME = _whole(_MOST), _text(200)
_PIXELS = _whole(_MOST_PIXELS)

# Every argument of VTN but `pretrained`: the weights are in the file.
_ARGUMENTS: dict[str, Rule] = {
    "backbone": _NAME,
    "num_classes": _SIZE,
    "num_layers": _whole(_MOST_LAYERS),
    "num_heads": _either(_NONE, _SIZE),
    "attention_window": _either(_SIZE, _several(_SIZE, 1, _MOST_LAYERS)),
    "ffn_dim": _either(_NONE, _SIZE),
    "mlp_dim": _either(_NONE, _SIZE),
    "head_init": _NAME,
    "position_embedding": _NAME,
    "max_position_embeddings": _SIZE,
    "position_overflow": _NAME,
    "attention": _NAME,
    "sequence_encoder": _either(_NONE, _NAME),
    "shuffle_frames": _TRUTH,
    "attention_dropout": _PROBABILITY,
    "hidden_dropout": _PROBABILITY,
    "head_dropout": _PROBABILITY,
    "freeze_backbone": _TRUTH,
    "drop_rate": _PROBABILITY,
    "drop_path_rate": _PROBABILITY,
    "img_size": _either(_NONE, _PIXELS, _several(_PIXELS, 2, 2)),
    "frames_per_chunk": _either(_NONE, _SIZE),
    "merge_tokens": _whole(_MOST, least=0),
    "reuse_frames": _number(0, 1),
    "localization_scales": _whole(_MOST_SCALES, least=0),
}
_FIELDS: dict[str, Rule] = {
    "mean": _several(_number(-1e4, 1e4), 3, 3),
    "std": _several(_number(1e-4, 1e4), 3, 3),
    "num_frames": _SIZE,
    "sampling_rate": _SIZE,
    "target_fps": _number(1e-3, 1e4),
    "full_video_frames": _SIZE,
    "short_side": _PIXELS,
    "crop_size": _PIXELS,
    "class_names": _either(_NONE, _several(_text(1000), 1, _MOST)),
    "authors_protocol": _TRUTH,
}


@dataclass(frozen=True)
class Recipe:
    """What a model was trained with.

    Attributes:
        model: Arguments of VTN.
        mean, std: Three numbers each: clip = (pixels / 255 - mean) / std.
        num_frames: Frames of a clip, in training and in multi-view inference.
        sampling_rate: Step between them, counted at target_fps.
        target_fps: Frames per second.
        full_video_frames: Frames taken from a whole video.
        short_side: What the shorter side of a frame is scaled to in a test, pixels.
        crop_size: Side of the square that a test cuts out of it, pixels.
        class_names: By class, None where they are not known.
        authors_protocol: Whether frames were chosen and numbered as in the authors' release.

    Raises:
        InputError: If a value has the wrong type or an absurd size; the sentence names it.
    """

    model: Mapping[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_frames: int
    sampling_rate: int
    target_fps: float
    full_video_frames: int
    short_side: int
    crop_size: int
    class_names: tuple[str, ...] | None = None
    authors_protocol: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.model, Mapping):
            raise InputError(f"model must be the arguments of VTN by name, not {_shown(self.model)}.")
        for name, value in self.model.items():
            if name not in _ARGUMENTS:
                raise InputError(f"model has the argument {_shown(name)}, which VTN does not have.")
            _require(f"model's {name}", value, _ARGUMENTS[name])
        for name in ("backbone", "num_classes"):
            if name not in self.model:
                raise InputError(f"model has no {name}.")
        for name, rule in _FIELDS.items():
            _require(name, getattr(self, name), rule)
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        if self.crop_size > self.short_side:
            raise InputError(f"crop_size is {self.crop_size}, more than short_side, {self.short_side}.")
        if self.class_names is not None:
            object.__setattr__(self, "class_names", tuple(self.class_names))
            count, classes = len(self.class_names), self.model["num_classes"]
            if count != classes:
                raise InputError(f"class_names has {count} names, but num_classes is {classes}.")

    def to_entry(self) -> dict[str, Any]:
        """Plain values for a checkpoint, under the key ENTRY."""
        return {"format": _FORMAT, **asdict(self), "model": dict(self.model)}


def read_recipe(checkpoint: Mapping[str, Any], path: Any) -> Recipe | None:
    """The recipe in what `read_checkpoint` returned; None if the file has none.

    Raises:
        InputError: If it cannot be used; names `path` and the value.
    """
    entry = checkpoint.get(ENTRY)
    if entry is None or "model_state" not in checkpoint:  # without it, all names are those of weights
        return None
    try:
        if not isinstance(entry, dict):
            raise InputError(f"it is {_shown(entry)}.")
        _require("format", entry.get("format"), _whole(_MOST))
        if entry["format"] > _FORMAT:
            raise InputError(f"its format {entry['format']} is from a newer version of vtn.")
        values = {key: value for key, value in entry.items() if key != "format"}
        known = {field.name for field in fields(Recipe)}
        for name in values:
            if name not in known:
                raise InputError(f"it has {_shown(name)}, which this version of vtn does not know.")
        for name in known - values.keys():
            raise InputError(f"it has no {name}.")
        return Recipe(**values)
    except InputError as error:
        raise InputError(f"Checkpoint {path} has an entry {ENTRY!r} that cannot be used: {error}") from None


def _require(name: str, value: Any, rule: Rule) -> None:
    holds, must = rule
    if not holds(value):
        raise InputError(f"{name} must be {must}, not {_shown(value)}.")


def _shown(value: Any) -> str:
    """A value, cut short enough for a sentence."""
    if value is None or isinstance(value, (str, bool, float)):
        return excerpt(value) if isinstance(value, str) else repr(value)
    if isinstance(value, int) and abs(value) < 10**12:
        return repr(value)
    if isinstance(value, int):  # Python refuses to write very long ones out
        return f"an integer of about {int(value.bit_length() * math.log10(2)) + 1} digits"
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}" + (
            f", the first {_shown(value[0])}" if value else ""
        )
    return f"a {type(value).__name__}"
