"""A made-up explanation of a video, and pages of it, in which all text tries to get out of its place."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
from videos import paint

from slowfast_ext.predict import Explanation, Prediction
from slowfast_ext.predict.explain import Evidence

EVIL = "</script><script>alert('&')</script>"
FILE = "<b title=x>&amp;'\".mp4"
NAMES = ("jump", EVIL, "sit", "run", "wave", "fall & rise")
FRAMES, FPS = 240, 25.0
SHOWN = np.array([*range(0, 160, 4), *range(160, 240, 8)])  # 50 frames; the second half is sparser
TIMES, STEPS = SHOWN / FPS, 50
LAYERS, HEADS = 3, 4


def explanation(seed=0, **changes) -> Explanation:
    """Random numbers for pictures that have their number painted on them."""
    rng = np.random.default_rng(seed)
    attention = rng.random((LAYERS, HEADS, STEPS)) ** 4
    attention /= attention.sum(axis=-1, keepdims=True) * 1.02
    groups = np.floor(TIMES).astype(int)
    stretches = np.array([[second, second + 1.0] for second in range(10)])
    mean = Evidence(attention, groups, stretches, rng.normal(size=(10, len(NAMES))) / 20)
    scores = np.array([0.05, 0.4, 0.1, 0.02, 0.13, 0.3])
    prediction = Prediction(f"videos/{FILE}", NAMES, scores, FRAMES, STEPS, FPS, 1)
    pictures = [cv2.imencode(".jpg", paint(int(frame), (192, 128)))[1].tobytes() for frame in SHOWN]
    given = {
        "prediction": prediction,
        "model": f"VTN of {EVIL}",
        "checkpoint": "run.pyth",
        "fingerprint": "0123456789abcdef",
        "frame_indices": SHOWN,
        "times": TIMES,
        "shares": np.full(STEPS, 1 / STEPS),
        "frames_mean": mean,
        "remark": "",
        "picture_frames": np.arange(STEPS),
        "pictures": tuple(pictures),
    }
    return Explanation(**(given | changes))


def numbers_of(page: str) -> dict:
    """What the script of a page reads."""
    return json.loads(re.search(r'id="numbers">(.*?)</script>', page)[1])


def full_of_all() -> str:
    """Two models, segments, a gap, thinned pictures."""
    found = explanation(
        segments=(
            SimpleNamespace(begin=1.0, end=4.0, label=1, score=0.9),
            SimpleNamespace(begin=3.5, end=5.0, label=0, score=0.4),
        ),
        unread=((6.0, 6.5),),
        picture_frames=np.arange(0, STEPS, 2),
    )
    found = replace(
        found,
        pictures=found.pictures[::2],
        prediction=replace(found.prediction, missing="9 of its 240 frames cannot be decoded"),
    )
    return found.page(beside=explanation(seed=1), command=f"python tools/predict.py {EVIL}")


def without_lines() -> str:
    return explanation(frames_mean=None, remark="There is no time line: SlowFast has none.").page()


def first_shown(found: Explanation) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the last layer, the mean over its heads, and evidence of the best class."""
    return found.attention[-1].mean(axis=0), found.evidence[:, 1]
