"""Where VTN looked in the validation videos, beside where the action truly was.

Shape legend: B batch, T frames of the full-video pass, L layers, H heads.
"""

import json
from pathlib import Path

import numpy as np
import torch

from slowfast_ext.compare.contenders import Contender
from slowfast_ext.config import load_config
from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.demo.dataset import ANNOTATIONS
from slowfast_ext.host.checkpoint import restore_checkpoint
from slowfast_ext.models import make_model
from slowfast_ext.report.attention import AttentionStrip, attention_inside, even_frames
from slowfast_ext.video import VideoReader

_SHOWN_FRAMES = 16
_NUM_STRIPS = 3
_FIRST_LAYER = 0  # the layer of the paper's figure 3


def look_at_validation_videos(
    contender: Contender, checkpoint: Path, data: Path
) -> tuple[list[AttentionStrip], dict[str, float | int]]:
    """Run the trained VTN over every whole validation video and keep the attention of its CLS token.

    Args:
        contender: The VTN.
        checkpoint: Its weights.
        data: The data set that the demonstration made.

    Returns:
        strips: One for the first video of each of three classes, ready to draw.
        report: attention_on_action and time_of_action (means over all videos, in [0, 1]), num_videos.
    """
    cfg = load_config(contender.path, [*contender.overrides, "TRAIN.EVAL_FULL_VIDEO", "True"])
    model = make_model(cfg).eval()
    restore_checkpoint(str(checkpoint), model)
    dataset = Vtnkinetics(cfg, "val")
    videos = json.loads((data / ANNOTATIONS).read_text())["videos"]
    classes = {video["label"]: video["class"] for video in videos.values()}
    strips, drawn, shares = [], set(), []
    for index, path in enumerate(dataset.paths):
        truth = videos[str(Path(path).relative_to(data))]
        weights, frame_indices, predicted = _look(model, dataset, index)
        inside = (frame_indices >= truth["action_frames"][0]) & (frame_indices < truth["action_frames"][1])
        shares.append((attention_inside(weights, inside), inside.mean()))
        if truth["label"] not in drawn and len(strips) < _NUM_STRIPS:
            drawn.add(truth["label"])
            strips.append(_strip(Path(path), truth, weights, frame_indices, classes[predicted]))
    attention, time = np.mean(shares, axis=0)
    return strips, {
        "attention_on_action": round(float(attention), 4),
        "time_of_action": round(float(time), 4),
        "num_videos": len(shares),
    }


@torch.inference_mode()
def _look(model: torch.nn.Module, dataset: Vtnkinetics, index: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Attention (T,) of the CLS token, averaged over heads; the frame indices (T,); the predicted class."""
    (frames, frame_indices), *_ = dataset[index]
    features = model.features_of(frames)  # (1, T, D)
    logits, attention = model.classify(features, frame_indices[None], return_attention=True)  # (1, L, H, T)
    weights = attention[0, _FIRST_LAYER].mean(dim=0)  # (T,)
    return weights.numpy(), frame_indices.numpy(), int(logits.argmax())


def _strip(
    path: Path, truth: dict, weights: np.ndarray, frame_indices: np.ndarray, predicted: str
) -> AttentionStrip:
    """Read the frames to show and collect everything about one video."""
    in_picture = even_frames(len(frame_indices), _SHOWN_FRAMES)
    numbers = frame_indices[in_picture].tolist()
    frames = VideoReader(path).read(numbers).numpy()
    fps = truth["fps"]
    true_class, predicted = truth["class"].replace("_", " "), predicted.replace("_", " ")
    verdict = "right" if predicted == true_class else "wrong"
    return AttentionStrip(
        frames=frames,
        frame_indices=in_picture,
        weights=weights,
        seconds=frame_indices / fps,
        caption=f"{path.name}: {true_class}; predicted {predicted} ({verdict})",
        action_seconds=(truth["action_frames"][0] / fps, truth["action_frames"][1] / fps),
    )
