"""Command lines: what they run, and what a person sees when something is wrong."""

import os
import sys
from collections.abc import Callable, Sequence

from slowfast_ext.host.command_line import parse_args
from vtn.errors import InputError


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
    args = parse_args(argv)  # first: --help needs no PySlowFast

    from slowfast_ext.config import load_config
    from slowfast_ext.distributed import launch_job
    from slowfast_ext.host import get_host
    from slowfast_ext.plugin.loops import test, train

    configs = [
        load_config(path, args.opts, num_shards=args.num_shards, shard_id=args.shard_id)
        for path in args.cfg_files
    ]
    _require_own_folders(args.cfg_files, [cfg.OUTPUT_DIR for cfg in configs])
    for cfg in configs:
        get_host().check_lists(cfg)
    for path, cfg in zip(args.cfg_files, configs, strict=True):
        print(f"config: {path}", flush=True)
        if cfg.TRAIN.ENABLE:
            launch_job(cfg, args.init_method, train)
        if cfg.TEST.ENABLE:
            launch_job(cfg, args.init_method, test)


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
