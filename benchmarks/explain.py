"""What a page of attention and evidence costs beyond the prediction: CPU seconds of one process.

    python benchmarks/explain.py --video VIDEO      # six minutes

A ViT-B-VTN with random weights looks at the whole video, 250 frames. Theirs is its prediction, decoding
included. Ours is what an explanation and its page add: measured with a backbone that costs nothing, because
the backbone's time varies by more than that.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from common import check_out, cpu_seconds, in_turn, ratio, write_record

from slowfast_ext.cli import run_safely
from slowfast_ext.config import load_config
from slowfast_ext.host import checkpoint, get_host
from slowfast_ext.models import make_model
from slowfast_ext.predict import Predictor

_CONFIG = "configs/Kinetics/VTN_ViT_B.yaml"
_KEYS = ("VTN.PRETRAINED", "False", "NUM_GPUS", "0", "DATA.PATH_TO_DATA_DIR", "")


def random_checkpoint(folder: str) -> str:
    """The file of an untrained model."""
    cfg = load_config(_CONFIG, [*_KEYS, "OUTPUT_DIR", folder])
    model = make_model(cfg)
    return checkpoint.save_checkpoint(folder, model, get_host().construct_optimizer(model, cfg), 0, cfg)


class _Free(torch.nn.Module):
    """In place of the backbone: some pixels are the features, (N, 3, H, W) -> (N, 768)."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, ::14, ::14].flatten(1)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--video", required=True, help="of 10 s")
    parser.add_argument("--turns", type=int, default=1, help="a median is taken over so many")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/explain.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        predictor = Predictor(random_checkpoint(folder), views="full")
        page = Path(folder) / "page.html"

        backbone, free = predictor.model.backbone, _Free()

        def added() -> float:
            predictor.model.backbone = free
            page_too = cpu_seconds(lambda: predictor.explain(args.video).write(page))
            without = cpu_seconds(lambda: predictor(args.video))
            predictor.model.backbone = backbone
            return page_too - without

        found = in_turn(added, lambda: cpu_seconds(lambda: predictor(args.video)), args.turns)
    row = {"what": "what the page adds", "against": "prediction", "unit": "CPU s", "better": "lower"}
    write_record(args.out, [row | {"target": None} | found | ratio(found)], argv, "torch", "timm", "av")


if __name__ == "__main__":
    run_safely(main)
