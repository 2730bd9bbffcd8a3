"""A tiny VTN that trains in seconds, and the command line that a user types for it."""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

TINY = """
TRAIN: {DATASET: vtnkinetics, BATCH_SIZE: 4, EVAL_FULL_VIDEO: True, EVAL_NUM_FRAMES: 12, EVAL_PERIOD: 1,
        CHECKPOINT_PERIOD: 1}
DATA: {NUM_FRAMES: 4, SAMPLING_RATE: 4, TARGET_FPS: 25, TRAIN_JITTER_SCALES: [40, 48], TRAIN_CROP_SIZE: 32,
       TEST_CROP_SIZE: 32, INPUT_CHANNEL_NUM: [3]}
SOLVER: {BASE_LR: 0.05, LR_POLICY: steps_with_relative_lrs, STEPS: [0], LRS: [1], MAX_EPOCH: 2}
MODEL: {NUM_CLASSES: 5, ARCH: vtn, MODEL_NAME: VTN}
VTN: {BACKBONE: test_vit, PRETRAINED: False, NUM_HIDDEN_LAYERS: 2, NUM_ATTENTION_HEADS: 4,
      ATTENTION_WINDOW: [4]}
TEST: {DATASET: vtnkinetics, BATCH_SIZE: 6, NUM_ENSEMBLE_VIEWS: 1, NUM_SPATIAL_CROPS: 1}
DATA_LOADER: {NUM_WORKERS: 0}
NUM_GPUS: 0
LOG_PERIOD: 1
"""
# Of tests that look at something else than what was learned.
UNTRAINED = ("TEST.RANDOM_WEIGHTS", "True")
NO_DROPOUT = ("VTN.ATTENTION_PROBS_DROPOUT_PROB 0 VTN.HIDDEN_DROPOUT_PROB 0 MODEL.DROPOUT_RATE 0").split()
MULTI_VIEW = (
    "TRAIN.ENABLE False TRAIN.EVAL_FULL_VIDEO False TEST.NUM_ENSEMBLE_VIEWS 2 TEST.NUM_SPATIAL_CROPS 3"
).split()


def command(config: Path, data_dir: Path, output_dir: Path, *overrides: str) -> list[str]:
    """The command line that a user would type."""
    script = [sys.executable, "tools/run_net.py", "--cfg", str(config)]
    meet = ["--init_method", f"file://{output_dir}.meet"]
    return [
        *script,
        *meet,
        "--opts",
        "DATA.PATH_TO_DATA_DIR",
        str(data_dir),
        "OUTPUT_DIR",
        str(output_dir),
        *overrides,
    ]


def stats(log: str, **wanted: str) -> list[dict]:
    """The json_stats lines whose entries include `wanted`."""
    lines = [json.loads(text) for text in re.findall(r"json_stats: (\{.*\})", log)]
    return [line for line in lines if wanted.items() <= line.items()]


def without_costs(stats: dict) -> dict:
    """The entries that do not depend on the machine, nor on the processes that share the work."""
    return {name: value for name, value in stats.items() if not name.endswith(("_seconds", "_mib"))}
