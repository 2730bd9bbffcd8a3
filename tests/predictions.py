"""What the tests of slowfast_ext/predict share: names of classes, keys and pictures."""

import numpy as np

NAMES = ("jump", "sit", "run", "fall & rise", "wave")
FULL = ("TRAIN.EVAL_FULL_VIDEO", "True")
MULTI = tuple("TRAIN.EVAL_FULL_VIDEO False TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 3".split())


def moving(number: int, size: tuple[int, int]) -> np.ndarray:
    """A picture that changes with its number: colours that drift over the video."""
    width, height = size
    rows, columns = np.mgrid[:height, :width]
    planes = [128 + 120 * np.sin(number / 7 + rows / 9 + k * columns / 17 + k) for k in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)
