"""The weights of a checkpoint in a form that other programs read: the command `export`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from slowfast_ext.engine.trained import checkpoint_in
from slowfast_ext.typed import as_typed
from vtn.checkpoint import read_checkpoint, weights_of
from vtn.weight_files import SUFFIX, write_weights

_DESCRIPTION = (
    "Write the weights of a checkpoint, the averaged ones where it has them, with its configuration, the "
    "names of its classes and what its model was trained with. What only a training needs is left out."
)
_FORMATS = ("safetensors",)


def export(argv: Sequence[str] | None = None) -> None:
    """Write the weights of a checkpoint as safetensors, and say where they are."""
    parser = argparse.ArgumentParser(
        description=_DESCRIPTION, epilog=f"Example: {as_typed('export')} outputs/run --to safetensors"
    )
    add = parser.add_argument
    add("checkpoint", help="a checkpoint, or the folder of a run")
    add("--to", required=True, choices=_FORMATS, help="the form")
    add("--out", type=Path, metavar="FILE", help=f"the file; by default weights_... {SUFFIX} beside it")
    args = parser.parse_args(argv)
    path = Path(checkpoint_in(args.checkpoint))
    # PySlowFast goes on from the last file of a run in whose name there is "checkpoint".
    beside = path.with_name(path.stem.replace("checkpoint", "weights") + SUFFIX)
    out = beside if args.out is None else args.out
    content = read_checkpoint(path)
    weights = weights_of(content, path, averaged=True)
    entries = content if "model_state" in content else {}
    write_weights({**entries, "model_state": weights}, out)
    print(f"{len(weights)} weights of {path}, {out.stat().st_size / 2**20:,.1f} MiB, written to {out}")
