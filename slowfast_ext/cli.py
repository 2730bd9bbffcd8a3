"""Command lines: PySlowFast's arguments, and what a person sees when something is wrong."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from vtn.errors import InputError


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse PySlowFast's command line.

    Args:
        argv: Arguments without the program's name.

    Returns:
        cfg_files (list of paths), opts (keys and values in turn, from behind the files, from behind --opts,
        or both), init_method, shard_id, num_shards.
    """
    parser = argparse.ArgumentParser(
        description="Train and test VTN, I3D, SlowFast … on video with PySlowFast.",
        epilog="Example: python tools/run_net.py --cfg configs/Kinetics/VTN_ViT_B.yaml "
        "DATA.PATH_TO_DATA_DIR /data/kinetics NUM_GPUS 8",
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


def run_safely(main: Callable[[], None]) -> None:
    """Run a command; bad input prints one line and exits 2, Ctrl-C exits 130, both without a traceback."""
    try:
        main()
    except InputError as error:
        sys.stdout.flush()  # what is still to be shown comes before it
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        text = "interrupted: the same command continues from what was saved so far, if anything was"
        print(f"\n{text}", file=sys.stderr)
        raise SystemExit(130) from None


def run_net(argv: Sequence[str] | None = None) -> None:
    """Train and test what each config asks for (TRAIN.ENABLE, TEST.ENABLE)."""
    from slowfast_ext.config import load_config
    from slowfast_ext.host import get_host

    args = parse_args(argv)
    host = get_host()
    configs = [
        load_config(path, args.opts, num_shards=args.num_shards, shard_id=args.shard_id)
        for path in args.cfg_files
    ]
    _require_own_folders(args.cfg_files, [cfg.OUTPUT_DIR for cfg in configs])
    for cfg in configs:
        host.check_lists(cfg)
    for path, cfg in zip(args.cfg_files, configs, strict=True):
        print(f"config: {path}", flush=True)
        if cfg.TRAIN.ENABLE:
            host.launch_job(cfg, args.init_method, host.train)
        if cfg.TEST.ENABLE:
            host.launch_job(cfg, args.init_method, host.test)


def _require_own_folders(cfg_files: Sequence[str], output_dirs: Sequence[str]) -> None:
    """Refuse configurations of which a later one would go on from the checkpoints of an earlier one."""
    used: dict[str, str] = {}
    for path, output_dir in zip(cfg_files, output_dirs, strict=True):
        first = used.setdefault(os.path.realpath(output_dir), path)
        if first is not path:
            raise InputError(
                f"--cfg {first} and --cfg {path} would both write into OUTPUT_DIR {output_dir!r}: run them "
                "one by one, or give each an OUTPUT_DIR in its file"
            )
