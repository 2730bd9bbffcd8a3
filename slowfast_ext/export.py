"""A checkpoint in a form that other programs read: the command `export`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from slowfast_ext.engine.trained import checkpoint_in
from slowfast_ext.typed import as_typed
from vtn.checkpoint import read_checkpoint, weights_of
from vtn.errors import InputError
from vtn.weight_files import SUFFIX, write_weights

_DESCRIPTION = (
    "Write a checkpoint for other programs, with its averaged weights where it has them, the names of its "
    "classes and what its model was trained with. What only a training needs is left out. safetensors is the "
    "weights; torch and onnx are a VTN as two programs, backbone and temporal, which are compared with it."
)
_FORMATS = ("safetensors", "onnx", "torch")


def export(argv: Sequence[str] | None = None) -> None:
    """Write a checkpoint as weights or as programs, and say where they are.

    Raises:
        InputError: If an argument or the checkpoint cannot be used, or what was written is not what the model
            gives.
    """
    args = _parse(argv)
    path = Path(checkpoint_in(args.checkpoint))
    if args.to == "safetensors":
        _export_weights(path, args.out)
    else:
        _export_programs(path, args)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    example = f"Example: {as_typed('export')} outputs/run --to onnx --out outputs/programs"
    parser = argparse.ArgumentParser(description=_DESCRIPTION, epilog=example)
    add = parser.add_argument
    add("checkpoint", help="a checkpoint, or the folder of a run")
    add("--to", required=True, choices=_FORMATS, help="the form")
    add(
        "--out",
        type=Path,
        metavar="PATH",
        help=f"the file of weights, by default weights_... {SUFFIX} beside the checkpoint; or the folder of "
        "programs, by default programs_..._onnx or programs_..._torch beside it",
    )
    add("--opset", type=int, help="version of ONNX's operators; default: 20")
    add("--cfg", metavar="FILE", help="configuration in place of the checkpoint's, for programs")
    add("--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over it, for programs")
    args = parser.parse_args(argv)
    if args.opset is not None and args.to != "onnx":
        raise InputError(f"--opset is for --to onnx, not for --to {args.to}")
    if args.to == "safetensors" and (args.cfg or args.opts):
        raise InputError("--cfg and --opts are for programs: --to safetensors takes the checkpoint as it is")
    return args


def _export_weights(path: Path, out: Path | None) -> None:
    # PySlowFast goes on from the last file of a run in whose name there is "checkpoint".
    beside = path.with_name(path.stem.replace("checkpoint", "weights") + SUFFIX)
    out = beside if out is None else out
    content = read_checkpoint(path)
    weights = weights_of(content, path, averaged=True)
    entries = content if "model_state" in content else {}
    write_weights({**entries, "model_state": weights}, out)
    print(f"{len(weights)} weights of {path}, {out.stat().st_size / 2**20:,.1f} MiB, written to {out}")


def _export_programs(path: Path, args: argparse.Namespace) -> None:
    # Not above: --help and weights need none of it.
    from slowfast_ext.predict import Predictor
    from slowfast_ext.programs import write_programs
    from slowfast_ext.programs.forms import OnnxForm, TorchForm

    beside = path.with_name(f"{path.stem.replace('checkpoint', 'programs')}_{args.to}")
    out = beside if args.out is None else args.out
    form = TorchForm() if args.to == "torch" else OnnxForm(args.opset)
    predictor = Predictor(path, config=args.cfg, overrides=[*args.opts, "NUM_GPUS", "0"])
    write_programs(predictor, out, form, print)
    print(f"the programs of {path} are written to {out}")
