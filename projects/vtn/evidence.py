"""Which frames carry an answer: what the model says when some of a video's frames are taken away.

Attention says where CLS looked, which need not be what decided. Here frames are really left out of the
sequence, and the rest keep their positions. Features are computed once, so each question costs one pass of
the temporal encoder.

Shape legend: T frames of a video, D width of a frame feature, K classes, S subsets of the frames, G groups of
frames, P points of a curve.
"""

from typing import NamedTuple

import torch

from .checks import check_feature_rows, check_positive_int, checked_row_indices
from .errors import InputError
from .model import VTN
from .streaming import check_in_parts

# Frames of all subsets that pass the encoder together.
_FRAMES_AT_ONCE = 4096


@torch.no_grad()
def classify_subsets(
    model: VTN, frame_features: torch.Tensor, frame_indices: torch.Tensor | None, keep: torch.Tensor
) -> torch.Tensor:
    """Classify a video from several subsets of its frames.

    A frame that is left out is not masked: it is not in the sequence, as if it had never been sampled. The
    others keep the positions that they have in the whole video, also where position_overflow is "scale".

    Args:
        model: In evaluation.
        frame_features: (T, D) from `VTN.frame_features`, in order of time.
        frame_indices: (T,) integers >= 0; 0 .. T - 1 for None.
        keep: (S, T) bool. A subset may be empty: the answer is then that of CLS alone.

    Returns:
        Logits (S, K).

    Raises:
        InputError: If the model is in training, shuffles frames or has an encoder of `transformers`, or a
            shape or a type is wrong.
    """
    check_in_parts(model, "classify_subsets")
    check_feature_rows(frame_features, model.embed_dim)
    count, device = len(frame_features), frame_features.device
    frame_indices = checked_row_indices(frame_indices, count, device)
    if keep.ndim != 2 or keep.shape[1] != count or keep.dtype != torch.bool:
        raise InputError(
            f"keep must be bool of shape (S, {count}), not {str(keep.dtype).removeprefix('torch.')} of shape "
            f"{tuple(keep.shape)}."
        )
    encoder = model.temporal_encoder
    length = encoder.positions.length_of(frame_indices[None])
    frames = encoder.embed_frames(frame_features[None], frame_indices[None], length)[0]
    cls = encoder.embed_cls(model.cls_token)

    keep = keep.to(device)
    sizes = keep.sum(dim=1)
    logits = frames.new_empty(len(keep), model.num_classes)
    for size in sizes.unique().tolist():
        rows = (sizes == size).nonzero()[:, 0]
        for some in rows.split(max(1, _FRAMES_AT_ONCE // (size + 1))):
            kept = frames.expand(len(some), -1, -1)[keep[some]].unflatten(0, (len(some), size))
            state, _ = encoder.encode(cls.expand(len(some), -1, -1), [kept] if size else [], size)
            logits[some] = model.mlp_head(state)
    return logits


class Occlusion(NamedTuple):
    """What a model says of a video, and without each of its groups of frames.

    Attributes:
        logits: (K,), from all frames.
        without: (G, K), from all frames but those of a group.
    """

    logits: torch.Tensor
    without: torch.Tensor

    @property
    def evidence(self) -> torch.Tensor:
        """(G, K): by how much each group raises the score of each class, in [-1, 1].

        It is the softmax score from all frames minus that without the group.
        """
        return self.logits.softmax(dim=-1) - self.without.softmax(dim=-1)


def occlusion(
    model: VTN, frame_features: torch.Tensor, frame_indices: torch.Tensor | None, groups: torch.Tensor
) -> Occlusion:
    """Take each group of frames out of a video in turn, such as each second.

    Args:
        model, frame_features, frame_indices: As for `classify_subsets`.
        groups: (T,) integers >= 0, the group of each frame. The last group is the highest number; one without
            frames takes nothing away.

    Raises:
        InputError: As `classify_subsets`, or if the groups are not of that kind.
    """
    groups = checked_row_indices(groups, len(frame_features), frame_features.device)
    numbers = torch.arange(int(groups.max()) + 1, device=groups.device)
    keep = torch.cat([torch.ones_like(groups, dtype=torch.bool)[None], groups != numbers[:, None]])
    logits = classify_subsets(model, frame_features, frame_indices, keep)
    return Occlusion(logits[0], logits[1:])


class RemovalCurves(NamedTuple):
    """Scores of a class while frames are taken away, or put in, by falling importance.

    Attributes:
        fractions: (P,), 0 to 1: frames taken away or put in, of all.
        deletion: (P,), the score without that many of the most important frames.
        insertion: (P,), the score from those frames alone.
    """

    fractions: torch.Tensor
    deletion: torch.Tensor
    insertion: torch.Tensor

    @property
    def areas(self) -> tuple[float, float]:
        """Under deletion and insertion: importance that is right makes the first small, the second large."""
        return tuple(float(torch.trapezoid(y, self.fractions)) for y in (self.deletion, self.insertion))


def removal_curves(
    model: VTN,
    frame_features: torch.Tensor,
    frame_indices: torch.Tensor | None,
    importance: torch.Tensor,
    label: int,
    *,
    points: int = 21,
) -> RemovalCurves:
    """Deletion and insertion curves of one video, for an order in which somebody believes its frames matter.

    Args:
        model, frame_features, frame_indices: As for `classify_subsets`.
        importance: (T,), higher for frames that should matter more; of equal ones the first goes first.
        label: Class whose score is followed.
        points: P, at least 2.

    Raises:
        InputError: As `classify_subsets`, or if importance or points cannot be used.

    Source: RISE (arXiv:1806.07421) Sec. 4.1, with frames in place of pixels.
    """
    check_positive_int("points", points)
    count = len(frame_features)
    if points < 2 or importance.shape != (count,):
        raise InputError(
            f"importance must have shape ({count},) and points must be at least 2, not "
            f"{tuple(importance.shape)} and {points}."
        )
    rank = importance.argsort(descending=True, stable=True).argsort()
    fractions = torch.linspace(0, 1, points, dtype=torch.float64)
    taken = rank.cpu() < (fractions * count).round()[:, None]
    scores = classify_subsets(model, frame_features, frame_indices, torch.cat([~taken, taken]))
    scores = scores.softmax(dim=1)[:, label].double().cpu()
    return RemovalCurves(fractions, scores[:points], scores[points:])


def group_by_time(times: torch.Tensor, length: float) -> torch.Tensor:
    """Times of frames (T,), or numbers -> (T,), the stretch of that length that each lies in, from 0."""
    return (times.double() / length).floor().long()


def per_frame(values: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """Values of groups (G,), shared equally among their frames: (T,)."""
    return values[groups] / groups.bincount(minlength=len(values))[groups].to(values.dtype)
