"""Looks into a picture that was drawn: where it has which colour."""

from pathlib import Path

import cv2
import numpy as np


def read_picture(path: Path) -> np.ndarray:
    """Pixels of a file, (height, width, 3) RGB."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)


def pixels_of(picture: np.ndarray, colour: str) -> np.ndarray:
    """Where the picture has this colour, give or take anti-aliasing: (height, width) bool."""
    red_green_blue = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(picture - red_green_blue).max(axis=2) < 12
