"""The command line of tools/repeat_step.py."""

import argparse
import math
from collections.abc import Sequence

from slowfast_ext.typed import as_typed

_DESCRIPTION = (
    "Compute a training step without a finite loss again, from the file nonfinite_step.pyth that the run "
    "left in its OUTPUT_DIR, and say where it stops being finite."
)
# As slowfast_ext.config_steps has them, which --help need not load.
_PRECISIONS = ("float32", "bfloat16", "float16")


def repeat_step(argv: Sequence[str] | None = None) -> int:
    """Repeat a step and print what is not finite in it.

    Args:
        argv: Arguments without the program's name.

    Returns:
        The exit status: 0.

    Raises:
        InputError: If the file cannot be used.
    """
    args = _parse(argv)

    # Not above: --help needs no PySlowFast.
    from slowfast_ext.engine.repeat import config_of, repeat
    from slowfast_ext.engine.step_file import read_failed_step

    step, origin = read_failed_step(args.file)
    cfg = config_of(step, args.precision)
    for line in _of_the_step(step, origin, cfg):
        print(line, flush=True)
    found = repeat(step, origin, cfg)
    for line in _of_the_repetition(found, step):
        print(line)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=_DESCRIPTION,
        epilog=f"Example: {as_typed('repeat_step')} outputs/run/nonfinite_step.pyth --precision float32",
    )
    parser.add_argument("file", help="nonfinite_step.pyth")
    parser.add_argument("--precision", choices=_PRECISIONS, help="of the layers, in place of the run's")
    return parser.parse_args(argv)


def _of_the_step(step, origin, cfg) -> list[str]:
    """Lines that say which step it is, and how it is repeated."""
    processes = len(step.shares)
    videos = [path for share in step.shares for path in share.paths]
    return [
        f"Step: epoch {step.epoch + 1}, iteration {step.iteration + 1}, of {processes} "
        f"process{'es' * (processes > 1)}; computed by {origin.software}",
        f"Repeated: on the {'GPU' if cfg.NUM_GPUS else 'CPU'}, in {cfg.TRAIN.PRECISION}",
        f"Videos: {', '.join(dict.fromkeys(videos))}",
    ]


def _of_the_repetition(found, step) -> list[str]:
    """Lines that say what is not finite."""
    then = [loss for share in step.shares for loss in share.losses]
    now = [loss for losses in found.losses for loss in losses]
    weights = f"not finite: {', '.join(found.weights)}" if found.weights else "all finite"
    lines = [
        f"Weights before the step: {weights}",
        f"Inputs: {'finite' if found.inputs else 'not finite'}",
        f"Loss: {_numbers(now)} (in the run: {_numbers(then)})",
        f"Norm of the gradient: {found.grad_norm:g} (in the run: {step.grad_norm:g})",
        f"Forward: not finite from {found.module}" if found.module else "Forward: every output is finite",
        f"Backward: not finite from the gradient of {found.parameter}"
        if found.parameter
        else "Backward: every gradient is finite",
    ]
    if found.is_like(step):
        lines.append("The step was repeated exactly: loss and norm have the same bits as in the run.")
    elif all(map(math.isfinite, [*now, found.grad_norm])):
        lines.append("This time the step is finite.")
    else:
        lines.append("The numbers differ from those of the run.")
    return lines


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
