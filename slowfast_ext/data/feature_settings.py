"""What frame features depend on beside the video: the network and its weights, the pixels, the frames."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import av
import torch
from fvcore.common.config import CfgNode
from torch import nn

ALL_FRAMES = "all"
# Of what this project does to pixels on their way to the network; a change of it makes features stale.
_PIXELS = 1
OF_WEIGHTS = "the fingerprint of the backbone's weights"
_WORDS = {
    "network": "the backbone",
    "merge_tokens": "merged tokens (VTN.MERGE_TOKENS)",
    "weights": OF_WEIGHTS,
    "short_side": "the short side (DATA.TRAIN_JITTER_SCALES)",
    "crop_size": "the crop",
    "mean": "the mean (DATA.MEAN)",
    "std": "the standard deviation (DATA.STD)",
    "decoder": "the decoder",
    "frames": "the frames",
}


@dataclass(frozen=True)
class FeatureSettings:
    """How features were made, or are to be.

    Attributes:
        network: timm's name of the backbone.
        merge_tokens: Tokens that each of its layers merges.
        weights: Fingerprint of its weights; empty where they are not known yet.
        short_side: What the shorter side of a frame is scaled to, pixels.
        crop_size: Side of the square that is cut out of its centre, pixels.
        mean, std: What pixels are normalised with.
        decoder: Versions of what gives the pixels.
        frames: ALL_FRAMES, or in words the frames of a full video.
    """

    network: str
    merge_tokens: int
    weights: str
    short_side: int
    crop_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    decoder: str
    frames: str

    def to_text(self) -> str:
        """JSON, the same for equal settings."""
        return json.dumps(asdict(self), sort_keys=True)

    def differences(self, other: Mapping[str, Any]) -> list[str]:
        """In words, where stored settings are others; `other` is what `to_text` gave, as JSON is read."""
        here = json.loads(self.to_text())
        return [
            f"{words} ({_shown(other.get(name))} there, {_shown(here[name])} here)"
            for name, words in _WORDS.items()
            if other.get(name) != here[name]
        ]


def feature_settings(cfg: CfgNode, *, crop_size: int, frames: str, weights: str = "") -> FeatureSettings:
    """The settings of a configuration."""
    return FeatureSettings(
        network=cfg.VTN.BACKBONE,
        merge_tokens=cfg.VTN.MERGE_TOKENS,
        weights=weights,
        short_side=cfg.DATA.TRAIN_JITTER_SCALES[0],
        crop_size=crop_size,
        mean=tuple(map(float, cfg.DATA.MEAN)),
        std=tuple(map(float, cfg.DATA.STD)),
        decoder=decoder_version(),
        frames=frames,
    )


def of_weights(settings: FeatureSettings, weights: str) -> FeatureSettings:
    """The same settings with weights that are known by now."""
    return replace(settings, weights=weights)


def full_video_frames(cfg: CfgNode, count: int) -> str:
    """In words, the frames that a full video uses, `count` of them."""
    if cfg.VTN.AUTHORS_PROTOCOL:
        return f"{count} of a full video at {cfg.DATA.TARGET_FPS:g} a second, as the authors choose them"
    return f"{count} of a full video"


def decoder_version() -> str:
    """What gives the pixels: PyAV, FFmpeg's decoders, and our own steps behind them."""
    codecs = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {codecs}, pixels {_PIXELS}"


def weights_fingerprint(backbone: nn.Module) -> str:
    """What tells weights from others, running statistics included: 32 hexadecimal digits."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(backbone.state_dict().items()):
        if name.endswith("num_batches_tracked"):
            continue  # a counter, which no feature depends on
        tensor = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{number:g}" for number in value)
    return str(value)
