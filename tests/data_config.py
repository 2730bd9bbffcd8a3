"""A configuration with the keys that the data sets read, made by hand: no host is needed for it."""

from pathlib import Path

from fvcore.common.config import CfgNode


def make_data_config(folder: Path) -> CfgNode:
    """VTN on 4-frame clips of folder/{mode}.csv.

    In training frames are scaled to 64 to 80 and cropped to 56, in val to 64 and 56, in test to 64 and 60.
    """
    return CfgNode(
        {
            "RNG_SEED": 3,
            "NUM_GPUS": 0,
            "DATA": {
                "PATH_TO_DATA_DIR": str(folder),
                "PATH_PREFIX": "",
                "PATH_LABEL_SEPARATOR": " ",
                "NUM_FRAMES": 4,
                "SAMPLING_RATE": 3,
                "TARGET_FPS": 30,
                "MEAN": [0.45, 0.45, 0.45],
                "STD": [0.225, 0.225, 0.225],
                "TRAIN_JITTER_SCALES": [64, 80],
                "TRAIN_CROP_SIZE": 56,
                "TEST_CROP_SIZE": 60,
                "RANDOM_FLIP": True,
                "REVERSE_INPUT_CHANNEL": False,
            },
            "AUG": {
                "ENABLE": False,
                "NUM_SAMPLE": 1,
                "COLOR_JITTER": 0.4,
                "AA_TYPE": "rand-m9-mstd0.5-inc1",
                "INTERPOLATION": "bicubic",
                "RE_PROB": 0.25,
                "RE_MODE": "pixel",
                "RE_COUNT": 1,
                "RE_SPLIT": False,
            },
            "TRAIN": {"EVAL_FULL_VIDEO": False, "EVAL_NUM_FRAMES": 10},
            "TEST": {"NUM_ENSEMBLE_VIEWS": 2, "NUM_SPATIAL_CROPS": 3},
            "MODEL": {
                "MODEL_NAME": "VTN",
                "ARCH": "VIT",
                "NUM_CLASSES": 5,
                "SINGLE_PATHWAY_ARCH": ["c2d", "i3d"],
                "MULTI_PATHWAY_ARCH": ["slowfast"],
            },
            "SLOWFAST": {"ALPHA": 4},
            "VTN": {"AUTHORS_PROTOCOL": False, "CPU_PROCESSES": 1, "LOCALIZATION_SCALES": 0},
        }
    )
