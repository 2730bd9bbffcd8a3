"""Export a model of real size with random weights, and time onnxruntime against PyTorch on the programs.

python benchmarks/exported.py [--frames 16] [--turns 7] [--out benchmarks/results/exported.json]

Both have the same inputs, one thread each and, as the export itself checks, the same answers. Seconds are
those of this process on its core, so that others on the machine count little.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import onnxruntime
import torch
from common import check_out, cpu_seconds, in_turn, ratio, write_record

import vtn
from slowfast_ext.cli import run_safely
from slowfast_ext.predict import Predictor
from slowfast_ext.programs import write_programs
from slowfast_ext.programs.forms import OnnxForm, TorchForm

CONFIG = Path(__file__).parents[1] / "configs" / "Kinetics" / "VTN_ViT_B.yaml"
NUM_FEATURES = (16, 250, 1000)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=16, help="that the backbone is given at once")
    parser.add_argument("--turns", type=int, default=7, help="number of times that a median is taken over")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/exported.json"))
    args = parser.parse_args(argv)
    check_out(args.out)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        vtn.save_weights(vtn.create_model("vtn_vit_b"), weights)
        predictor = Predictor(weights, config=CONFIG, overrides=["NUM_GPUS", "0"])
        rows = [written(predictor, form, Path(folder)) for form in (TorchForm(), OnnxForm())]
        rows += timed(predictor, Path(folder), args.frames, args.turns)
    write_record(args.out, rows, argv, "torch", "timm", "onnx", "onnxruntime")


def written(predictor: Predictor, form: TorchForm | OnnxForm, folder: Path) -> dict:
    """Seconds of an export with its comparison, and what it says of sizes and differences."""
    said: list[str] = []
    took = cpu_seconds(lambda: write_programs(predictor, folder / form.suffix[1:], form, said.append))
    row = {"what": f"export as {form.suffix}", "ours": took, "unit": "s"}
    print("\n".join(said))
    return row | {"against": None, "theirs": None, "ratio": None, "target": None, "said": said}


def timed(predictor: Predictor, folder: Path, num_frames: int, turns: int) -> list[dict]:
    """onnxruntime beside PyTorch, for both programs."""
    model, crop = predictor.model, predictor.cfg.DATA.TEST_CROP_SIZE
    backbone, temporal = (session(folder / "onnx" / f"{name}.onnx") for name in ("backbone", "temporal"))
    clip = torch.randn(1, 3, num_frames, crop, crop)
    images = {"images": clip[0].transpose(0, 1).contiguous().numpy()}
    what = f"backbone, {num_frames} frames of {crop} x {crop} pixels"
    rows = [
        beside(what, lambda: backbone.run(None, images), lambda: model.frame_features(clip), turns),
    ]
    for count in NUM_FEATURES:
        features, indices = torch.randn(1, count, model.embed_dim), torch.arange(count)[None]
        named = {"frame_features": features.numpy(), "frame_indices": indices.numpy()}
        row = beside(
            f"temporal part, {count:,} features",
            lambda named=named: temporal.run(None, named),
            lambda given=(features, indices): model.classify(*given),
            turns,
        )
        rows.append(row)
    return rows


def session(path: Path) -> onnxruntime.InferenceSession:
    """A program, with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def beside(what: str, ours: Callable[[], object], theirs: Callable[[], object], turns: int) -> dict:
    """onnxruntime beside PyTorch; the ratio is how many times faster onnxruntime is."""
    with torch.inference_mode():
        row = in_turn(lambda: cpu_seconds(ours), lambda: cpu_seconds(theirs), turns)
    row |= {"what": what, "against": "PyTorch", "unit": "s"}
    return row | ratio(row, inverse=True) | {"better": "higher", "target": None}


if __name__ == "__main__":
    run_safely(main)
