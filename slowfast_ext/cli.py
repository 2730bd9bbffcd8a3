"""The commands: files of tools/, and subcommands of the program `vtn`.

This file loads none of them, and no PyTorch, so that Ctrl-C is answered from the first moment.
"""

import contextlib
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from slowfast_ext.processes import interrupts_wait
from slowfast_ext.version import __version__

# What each is: the module and its function, and a line for the list of commands.
COMMANDS = {
    "run_net": ("slowfast_ext.run_net:run_net", "train and test a model"),
    "predict": ("slowfast_ext.predict.command:predict", "say what happens in videos"),
    "extract_features": ("slowfast_ext.features.command:extract_features", "store features of frames"),
    "prepare_dataset": ("slowfast_ext.prepare.command:prepare_dataset", "make the lists of a data set"),
    "plot_curves": ("slowfast_ext.report.plot_curves:draw_runs", "draw learning curves of runs"),
    "plot_attention": ("slowfast_ext.report.plot_attention:draw_attention", "draw what a VTN looks at"),
    "plot_evidence": (
        "slowfast_ext.report.plot_evidence:draw_evidence",
        "measure which frames carry a VTN's answers, and how sure it is",
    ),
    "show_augmentation": (
        "slowfast_ext.report.show_augmentation:show_augmentation",
        "draw what training does to a clip",
    ),
    "export": ("slowfast_ext.export:export", "write weights or programs for others"),
    "repeat_step": (
        "slowfast_ext.repeat_step:repeat_step",
        "look into a step without a finite loss",
    ),
    "benchmark": (
        "slowfast_ext.benchmark:benchmark",
        "models side by side; the paper's tables beside our counts",
    ),
    "demo": ("slowfast_ext.demo.command:demonstrate", "see it all work, without data or GPU"),
    "doctor": ("slowfast_ext.doctor:main", "what this machine has, and what is broken in it"),
}


_INTERRUPTED = (
    "interrupted: the same command continues from what was saved so far, such as the last checkpoint"
)
# torchrun ends all processes of a machine when one has ended: the others give the first one time to speak.
_SECONDS_TO_SPEAK = 10.0


def main(argv: Sequence[str] | None = None) -> None:
    """The program `vtn`: its first argument names a command, the others are the command's."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv[:1] == ["--version"]:
        print(f"vtn {__version__}")
        raise SystemExit(0)
    if not argv or argv[0] not in COMMANDS:
        lines = [f"  {name:<19}{what}" for name, (_, what) in COMMANDS.items()]
        wants_help = bool(argv) and argv[0] in ("-h", "--help")
        text = "\n".join(["usage: vtn COMMAND ...; `vtn COMMAND --help` tells more; vtn --version", *lines])
        print(text, file=sys.stdout if wants_help else sys.stderr)
        raise SystemExit(0 if wants_help else 2)
    name, *rest = argv
    sys.argv = [f"vtn {name}", *rest]  # a parser names its program after it
    run_command(name)


def run_command(name: str) -> None:
    """Run one of COMMANDS with the arguments in sys.argv, as a person sees it: see `run_safely`."""
    # A page of C++ frames for each connection that ends; PyTorch reads this once, when it is loaded.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    run_safely(lambda: _load(name)())


def _load(name: str) -> Callable[[], int | None]:
    """The function of a command. Ctrl-C takes effect when it is loaded, seconds later."""
    module, function = COMMANDS[name][0].split(":")
    with interrupts_wait():
        return getattr(importlib.import_module(module), function)


def run_safely(command: Callable[[], int | None]) -> None:
    """Call a command and exit with the status that it returns.

    Bad input prints one line and exits with 2, Ctrl-C exits with 130, both without a traceback. A training
    that a signal ends in good order says so itself, and exits with 128 plus its number.
    """
    try:
        status = command()
    except KeyboardInterrupt as stop:
        # What raises it may know better what the same command would do.
        text = stop.args[0] if stop.args else _INTERRUPTED
        with only_first_speaks():
            print(f"\n{text}", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        from vtn.errors import InputError  # not above: it loads PyTorch

        if not isinstance(error, InputError):
            raise
        sys.stdout.flush()  # what is still to be shown comes before it
        with only_first_speaks():
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(2) from None
    if status:
        raise SystemExit(status)


@contextlib.contextmanager
def only_first_speaks() -> Iterator[None]:
    """Within, of the processes that torchrun has started on a machine only the first writes to the screen."""
    if not os.environ.get("LOCAL_RANK", "").strip("0"):
        yield
        return
    try:
        with (
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
            contextlib.redirect_stderr(nowhere),
        ):
            yield
    except SystemExit as end:
        if end.code:
            time.sleep(_SECONDS_TO_SPEAK)
        raise
