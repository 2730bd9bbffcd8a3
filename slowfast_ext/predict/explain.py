"""Why a model says what it says of a video: where [CLS] looked, and what is lost without each second.

Legend: T distinct frames that the model saw, N tokens for them (a short video shows some frames more than
once), P places of the crop, D width of a feature, L layers, H heads, G stretches of time, K classes.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from fvcore.common.config import CfgNode

from slowfast_ext.models import VTN
from slowfast_ext.predict.sources import FrameInfo
from slowfast_ext.predict.stream import FrameStream, SpanAnswer
from slowfast_ext.predict.thumbnails import WatchedFrames
from vtn.evidence import group_by_time, occlusion
from vtn.temporal_encoder import TemporalEncoder

# Pictures of a page, and bytes of all of them: a page of them is below 5 MB.
_MOST_PICTURES, _MOST_BYTES = 250, 3_100_000
# Seconds of a stretch that is left out: the first with which there are at most so many.
_STRETCHES, _MOST_STRETCHES = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600), 120
_SHORT_STRETCH = 0.1  # where all frames lie within a second


class Evidence(NamedTuple):
    """What the frames mean to a VTN.

    Attributes:
        attention: (L, H, T), weight of [CLS] on each frame; where it is shown more than once, the sum.
        groups: (T,), the stretch that each frame lies in.
        stretches: (G, 2), begin and end in seconds, of those with frames.
        evidence: (G, K), in [-1, 1]: how much the score falls when the frames of a stretch are left out.
    """

    attention: np.ndarray
    groups: np.ndarray
    stretches: np.ndarray
    evidence: np.ndarray


@dataclass(frozen=True)
class Explained:
    """What one look at a video gave.

    Attributes:
        answer: As a prediction has it.
        frame_indices: (T,) numbers of the frames, rising.
        shares: (T,), of the tokens the part that each frame has; sums to 1.
        times: (T,) seconds.
        evidence: None where the model gives none.
        remark: Why it does not; empty if it does.
        picture_frames: Numbers in frame_indices of those that have a picture.
        pictures: JPEG files.
        unread: Begin and end in seconds of parts that cannot be decoded.
    """

    answer: SpanAnswer
    frame_indices: np.ndarray
    shares: np.ndarray
    times: np.ndarray
    evidence: Evidence | None
    remark: str
    picture_frames: np.ndarray
    pictures: list[bytes]
    unread: tuple[tuple[float, float], ...]


def why_no_evidence(model: torch.nn.Module, name: str) -> str:
    """A sentence if a model cannot say what its frames mean to it, else nothing; `name` is its own."""
    if not isinstance(model, VTN):
        return (
            f"There is no time line: {name} looks at all frames together, so it has no attention over them, "
            "and no second can be left out of what it has computed."
        )
    if not isinstance(model.temporal_encoder, TemporalEncoder):
        kind = model.temporal_encoder.model_type
        return f"There is no time line: the encoder {kind!r} of this model does not give its attention."
    if model.shuffle_frames:
        return (
            "There is no time line: this model puts the frames into a random order, so nothing of it belongs "
            "to a time."
        )
    return ""


def model_in_words(cfg: CfgNode) -> str:
    """Such as "VTN of vit_base_patch16_224, learned attention"."""
    if cfg.MODEL.MODEL_NAME != "VTN":
        return f"{cfg.MODEL.MODEL_NAME} ({cfg.MODEL.ARCH})"
    return f"VTN of {cfg.VTN.BACKBONE}, {cfg.VTN.ATTENTION} attention"


def explain_once(stream: FrameStream, model: torch.nn.Module, name: str, source: WatchedFrames) -> Explained:
    """Look at a video: decoded once, each frame encoded once.

    Args:
        stream: Of the model, with one clip for each video.
        model: In evaluation.
        name: MODEL.MODEL_NAME.
        source: The video; its pictures are those of this look.

    Raises:
        VideoError: If the video cannot be read.
    """
    (clip,) = stream.clips_of(source.info)
    frames, tokens, counts = clip[0].unique(return_inverse=True, return_counts=True)
    every = -(-len(frames) // _MOST_PICTURES)
    picture_frames = np.arange(0, len(frames), every)
    source.watch(frames[picture_frames].tolist())
    answer, features = stream.look(source, clip)
    times = source.info.seconds_of(frames)
    evidence, remark = None, why_no_evidence(model, name)
    if not remark:
        evidence = _evidence(model, features.float(), clip[1].to(features.device), tokens, times)
    return Explained(
        answer=answer,
        frame_indices=frames.numpy(),
        shares=counts.numpy() / len(tokens),
        times=times.numpy(),
        evidence=evidence,
        remark=remark,
        picture_frames=picture_frames,
        pictures=source.pictures(_MOST_BYTES),
        unread=_unread(source.info),
    )


@torch.inference_mode()
def _evidence(
    model: VTN, features: torch.Tensor, indices: torch.Tensor, tokens: torch.Tensor, times: torch.Tensor
) -> Evidence:
    """From features (P, N, D), numbers for the model (N,), the frame of each token (N,) and times (T,)."""
    _, weights = model.classify(features, indices.expand(len(features), -1), return_attention=True)
    weights = weights.float().mean(dim=0).cpu()  # (L, H, N)
    attention = weights.new_zeros(*weights.shape[:2], len(times)).index_add_(2, tokens, weights)

    length = stretch_seconds(times)
    numbers, groups = group_by_time(times, length).unique(return_inverse=True)
    groups_of_tokens = groups[tokens].to(features.device)
    found = [occlusion(model, place, indices, groups_of_tokens).evidence for place in features]
    begins = numbers.double() * length
    return Evidence(
        attention.numpy(),
        groups.numpy(),
        torch.stack([begins, begins + length], dim=1).numpy(),
        torch.stack(found).mean(dim=0).cpu().numpy(),
    )


def stretch_seconds(times: torch.Tensor) -> float:
    """How long the stretches are that are left out of a video with frames at `times`, seconds, rising."""
    seconds = float(times[-1] - times[0])
    if seconds < 1:
        return _SHORT_STRETCH
    fitting = (length for length in _STRETCHES if seconds / length <= _MOST_STRETCHES)
    return float(next(fitting, seconds / _MOST_STRETCHES))


def _unread(info: FrameInfo) -> tuple[tuple[float, float], ...]:
    """Where frames are known to be lost: from the first lost one to the next one that is there."""
    if info.present is None:
        return ()
    edges = np.flatnonzero(np.diff(np.concatenate([[True], info.present, [True]]).astype(int)))
    times = info.seconds_of(torch.from_numpy(edges.clip(max=info.num_frames - 1))).tolist()
    return tuple(zip(times[::2], times[1::2], strict=True))
