"""Train and test what configurations ask for."""

import argparse
import os
from collections.abc import Sequence

from slowfast_ext.cli import only_first_speaks
from slowfast_ext.host.command_line import parse_args
from slowfast_ext.processes import interrupts_wait
from vtn.errors import InputError


def run_net(argv: Sequence[str] | None = None) -> None:
    """Train and test what each config asks for (TRAIN.ENABLE, TEST.ENABLE)."""
    with only_first_speaks():
        args = parse_args(argv)  # first: --help needs no PySlowFast

    with interrupts_wait():
        from slowfast_ext.config import load_config
        from slowfast_ext.config_files import find_config
        from slowfast_ext.data.build import require_lists
        from slowfast_ext.host import get_host
        from slowfast_ext.launch import launch_job
        from slowfast_ext.plugin.loops import test, train

        get_host()
    where = _where(args)
    configs = [load_config(path, args.opts, **where) for path in args.cfg_files]
    for path, cfg in zip(args.cfg_files, configs, strict=True):
        if not (cfg.TRAIN.ENABLE or cfg.TEST.ENABLE):
            raise InputError(
                f"--cfg {path} has nothing to do: TRAIN.ENABLE and TEST.ENABLE are both False, so add "
                "`TEST.ENABLE True` to test or `TRAIN.ENABLE True` to train"
            )
    _require_own_folders(args.cfg_files, [cfg.OUTPUT_DIR for cfg in configs])
    for cfg in configs:
        get_host().check_lists(cfg)
        require_lists(cfg)
    for path, cfg in zip(args.cfg_files, configs, strict=True):
        with only_first_speaks():
            print(f"config: {find_config(path)}", flush=True)
        if cfg.TRAIN.ENABLE:
            launch_job(cfg, args.init_method, train)
        if cfg.TEST.ENABLE:
            launch_job(cfg, args.init_method, test)


def _where(args: argparse.Namespace) -> dict[str, int]:
    """Machines and processes, for load_config: those of the command line, or torchrun's."""
    from slowfast_ext.launch.place import torchrun_place

    place = torchrun_place()
    if place is None:
        return {"num_shards": args.num_shards, "shard_id": args.shard_id}
    if args.launch_flags:
        raise InputError(
            f"{', '.join(args.launch_flags)}: torchrun has started this command, and says which machine and "
            "process it is: leave it out, and give torchrun --nnodes, --node_rank and --master_addr"
        )
    return {
        "num_shards": place.num_shards,
        "shard_id": place.shard_id,
        "processes": place.local_world_size,
    }


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
