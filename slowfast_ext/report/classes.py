"""Which classes a model knows, and which it takes for which.

Shape legend: V videos, K classes.
"""

import numpy as np


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, num_classes: int) -> np.ndarray:
    """Count the videos of each class by what they were taken for.

    Example, three classes: labels 0 0 1 2 and predicted 0 2 1 2 give [[1, 0, 1], [0, 1, 0], [0, 0, 1]].

    Args:
        labels: (V,) true classes, integers in [0, K).
        predicted: (V,) classes with the highest score, integers in [0, K).
        num_classes: K.

    Returns:
        (K, K) int64; the row is the true class, the column the predicted one.

    Raises:
        ValueError: If the two differ in length, or a class is not in [0, K).
    """
    labels, predicted = np.asarray(labels, np.int64), np.asarray(predicted, np.int64)
    if labels.shape != predicted.shape or labels.ndim != 1:
        raise ValueError(f"labels is {labels.shape} and predicted {predicted.shape}: both must be (V,).")
    for name, classes in (("labels", labels), ("predicted", predicted)):
        outside = classes[(classes < 0) | (classes >= num_classes)]
        if outside.size:
            raise ValueError(f"{name} has class {outside[0]}, but there are {num_classes} classes.")
    pairs = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def class_accuracy(matrix: np.ndarray) -> np.ndarray:
    """Top-1 accuracy of each class.

    Args:
        matrix: (K, K) counts; the row is the true class.

    Returns:
        (K,) percent; nan for a class without a video.
    """
    videos = matrix.sum(axis=1)
    return np.where(videos > 0, 100.0 * np.diagonal(matrix) / np.maximum(videos, 1), np.nan)


def mean_class_accuracy(matrix: np.ndarray) -> float | None:
    """Mean over the classes that have a video, each counting the same: percent, or None without any video."""
    accuracy = class_accuracy(matrix)
    known = accuracy[~np.isnan(accuracy)]
    return float(known.mean()) if known.size else None


def most_confused(matrix: np.ndarray, count: int) -> list[tuple[int, int]]:
    """The most frequent mistakes.

    Returns:
        At most `count` pairs (true class, predicted class) that occur, of two classes each. The most frequent
        comes first; of two that are equal, the one that costs its true class more of its videos.
    """
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    part = wrong / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    true, predicted = np.nonzero(wrong)
    order = np.lexsort((predicted, true, -part[true, predicted], -wrong[true, predicted]))[:count]
    return [(int(true[i]), int(predicted[i])) for i in order]
