"""PySlowFast's command line, for our run_net.py and for main's."""

import argparse
import os
from collections.abc import Sequence


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse PySlowFast's command line.

    Args:
        argv: Arguments without the program's name.

    Returns:
        cfg_files (list of paths), opts (keys and values in turn, which follow the files, --opts,
        or both), init_method, shard_id, num_shards.
    """
    parser = argparse.ArgumentParser(
        description="Train and test VTN, I3D, SlowFast … on video with PySlowFast.",
        epilog="Example: python tools/run_net.py --cfg configs/Kinetics/VTN_ViT_B.yaml "
        "DATA.PATH_TO_DATA_DIR /data/kinetics",
    )
    parser.add_argument("--cfg", nargs="+", required=True, metavar="FILE", help="config files, run in turn")
    parser.add_argument("--init_method", default="tcp://localhost:9999", help="where several processes meet")
    parser.add_argument("--shard_id", type=int, default=0, help="this machine, from 0")
    parser.add_argument("--num_shards", type=int, default=1, help="number of machines")
    parser.add_argument(
        "--opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs over the config"
    )
    args, rest = parser.parse_known_args(argv)
    flags = [word for word in rest if word.startswith("--")]
    if flags:
        parser.error(f"unrecognized argument {flags[0]}")
    # `--cfg a.yaml KEY VALUE` must not take KEY and VALUE for files, as PySlowFast main's parser does.
    count = next((i for i, word in enumerate(args.cfg) if not _is_file(word)), len(args.cfg))
    count = max(count, 1)
    args.cfg_files, args.opts = args.cfg[:count], [*args.cfg[count:], *rest, *args.opts]
    return args


def _is_file(word: str) -> bool:
    return word.endswith((".yaml", ".yml")) or os.path.isfile(word)
