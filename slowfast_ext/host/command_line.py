"""PySlowFast's command line, for our run_net.py and for main's."""

import argparse
import os
from collections.abc import Callable, Sequence

from slowfast_ext.config_files import config_names
from slowfast_ext.typed import as_typed

DEFAULT_INIT_METHOD = "tcp://localhost:9999"


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse PySlowFast's command line.

    Args:
        argv: Arguments without the program's name.

    Returns:
        cfg_files (list of paths), opts (keys and values in turn, which follow the files, --opts,
        or both), init_method, shard_id, num_shards, and launch_flags: which of these three were typed.
    """
    parser = argparse.ArgumentParser(
        description="Train and test VTN, I3D, SlowFast … on video with PySlowFast.",
        epilog=f"Example: {as_typed('run_net')} --cfg Kinetics/VTN_ViT_B.yaml DATA.PATH_TO_DATA_DIR "
        f"/data/kinetics. These FILEs come with it, from any folder: {', '.join(config_names())}.",
    )
    parser.add_argument("--cfg", nargs="+", required=True, metavar="FILE", help="config files, run in turn")
    parser.add_argument(
        "--init_method", help=f"where several machines meet, by default {DEFAULT_INIT_METHOD}"
    )
    parser.add_argument("--shard_id", type=int, help="this machine, from 0")
    parser.add_argument("--num_shards", type=int, help="number of machines")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the config"
    )
    args, rest = parser.parse_known_args(argv)
    flags = [word for word in rest if word.startswith("--")]
    if flags:
        parser.error(f"unrecognized argument {flags[0]}")
    defaults = {"init_method": DEFAULT_INIT_METHOD, "shard_id": 0, "num_shards": 1}
    args.launch_flags = [f"--{name}" for name in defaults if getattr(args, name) is not None]
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    args.cfg_files, opts = split_words(args.cfg, is_config_file)
    args.opts = [*opts, *rest, *args.opts]
    return args


def split_words(words: Sequence[str], belongs: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """Split the values of an argument from the KEY VALUE pairs that follow them; the first is always a value.

    `--cfg a.yaml KEY VALUE` must not take KEY and VALUE for files, as PySlowFast main's parser does.
    """
    count = next((i for i, word in enumerate(words) if i and not belongs(word)), len(words))
    return list(words[:count]), list(words[count:])


def is_config_file(word: str) -> bool:
    """Whether a word of a command line names a configuration."""
    return word.endswith((".yaml", ".yml")) or os.path.isfile(word)
