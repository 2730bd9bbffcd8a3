"""Starting the processes of a run, on one machine or several, or joining those that torchrun has started.

`place` which process this is; `meeting` how they find each other; `watch` signs of life; `part` what each
does; `children` those that we start; `leaving` how they end.
"""

from collections.abc import Callable

from slowfast_ext.distributed import settle, world_size
from slowfast_ext.launch.children import start_processes
from slowfast_ext.launch.part import take_part_of_torchrun
from slowfast_ext.launch.place import torchrun_place
from vtn.errors import InputError


def launch_job(cfg, init_method: str, func: Callable) -> None:
    """Call `func(cfg)` in as many processes as `cfg` asks for, and wait for them.

    Under torchrun, which has started them, call it in this one. A process that dies, hangs or cannot connect
    ends all others within DIST_TIMEOUT, with a line that names it.

    Args:
        cfg: Keys NUM_GPUS, VTN.CPU_PROCESSES, NUM_SHARDS, SHARD_ID, DIST_BACKEND, DIST_TIMEOUT.
        init_method: Where the machines meet, such as tcp://first:9999 or file:///shared/name.
        func: Module-level function, so that a spawned process can find it.

    Raises:
        InputError: That of a process that failed on bad input; or torchrun has started another number of
            processes than `cfg` asks for.
        SystemExit: If the processes were stopped or ended early; why has been said.
    """
    place = torchrun_place()
    if place is not None and place.world_size != world_size(cfg):
        raise InputError(
            f"torchrun has started {place.world_size} processes, but the configuration is for "
            f"{world_size(cfg)}"
        )
    if world_size(cfg) == 1:
        settle(cfg)
        func(cfg)
    elif place is not None:
        take_part_of_torchrun(cfg, func, place)
    else:
        start_processes(cfg, init_method, func)
