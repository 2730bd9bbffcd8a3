"""Where VTN looked in the validation videos, beside where the action truly was."""

import json
from pathlib import Path

import numpy as np

from slowfast_ext.compare.contenders import Contender
from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.demo.videos import ANNOTATIONS
from slowfast_ext.report.attention import AttentionStrip, attention_inside
from slowfast_ext.report.looks import Look, load_looker

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
    looker = load_looker(contender.path, checkpoint, contender.overrides)
    dataset = Vtnkinetics(looker.cfg, "val")
    videos = json.loads((data / ANNOTATIONS).read_text())["videos"]
    classes = {video["label"]: video["class"] for video in videos.values()}
    strips, drawn, shares = [], set(), []
    for index, path in enumerate(dataset.paths):
        truth = videos[str(Path(path).relative_to(data))]
        look = looker.look(dataset, index)
        frames, (start, end) = look.frame_indices, truth["action_frames"]
        inside = (frames >= start) & (frames < end)
        shares.append((attention_inside(look.weights(_FIRST_LAYER), inside), inside.mean()))
        if truth["label"] not in drawn and len(strips) < _NUM_STRIPS:
            drawn.add(truth["label"])
            strips.append(_strip(look, truth, classes[int(look.scores.argmax())]))
    attention, time = np.mean(shares, axis=0)
    return strips, {
        "attention_on_action": round(float(attention), 4),
        "time_of_action": round(float(time), 4),
        "num_videos": len(shares),
    }


def _strip(look: Look, truth: dict, predicted: str) -> AttentionStrip:
    """One video with what is known of it, ready to draw."""
    true_class, predicted = truth["class"].replace("_", " "), predicted.replace("_", " ")
    verdict = "right" if predicted == true_class else "wrong"
    return look.strip(
        look.weights(_FIRST_LAYER),
        f"{look.path.name}: {true_class}; predicted {predicted} ({verdict})",
        shown=_SHOWN_FRAMES,
        action_frames=truth["action_frames"],
    )
