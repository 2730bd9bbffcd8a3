"""The ways to test a model (paper section 4.1), as overrides that turn any configuration into one of them."""

_ONE_VIEW = ("TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1")

PROTOCOLS = {
    "multi-view": (
        *("TRAIN.EVAL_FULL_VIDEO", "False"),
        *("TEST.NUM_ENSEMBLE_VIEWS", "10"),
        *("TEST.NUM_SPATIAL_CROPS", "3"),
    ),
    "full-video": ("TRAIN.EVAL_FULL_VIDEO", "True", *_ONE_VIEW),
    "clip": ("TRAIN.EVAL_FULL_VIDEO", "False", *_ONE_VIEW),
}
OF_THE_PAPER = ("multi-view", "full-video")  # those of its tables 3 and 4


def in_file_names(protocol: str) -> str:
    """A protocol as files and folders are named after it."""
    return protocol.replace("-", "_")
