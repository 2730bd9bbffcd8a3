"""Where a process stands among those of a run, and whether torchrun has started it."""

import os
from dataclasses import dataclass

from vtn.errors import InputError

# What torchrun, and programs that stand in for it, put into the environment of each process.
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Rank:
    """A process among those of a run.

    Attributes:
        rank: Among all, from 0.
        world_size: How many there are.
        local_rank: On its machine, from 0.
        local_world_size: How many there are on each machine.
    """

    rank: int
    world_size: int
    local_rank: int
    local_world_size: int

    @property
    def num_shards(self) -> int:
        """Machines."""
        return self.world_size // self.local_world_size

    @property
    def shard_id(self) -> int:
        """This machine, from 0."""
        return self.rank // self.local_world_size


def torchrun_place() -> Rank | None:
    """The place that torchrun has given this process; None if it was not started by torchrun.

    Raises:
        InputError: If the environment holds only a part of it, or numbers that contradict each other.
    """
    if "LOCAL_RANK" not in os.environ:
        return None
    missing = [name for name in (*_NUMBERS, *_ADDRESS) if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"LOCAL_RANK is in the environment, where torchrun puts it, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} not: start the command with torchrun, or type "
            "`unset LOCAL_RANK`"
        )
    try:
        place = Rank(*(int(os.environ[name]) for name in _NUMBERS))
    except ValueError:
        place = None
    if place is None or not _is_possible(place):
        found = ", ".join(f"{name} is {os.environ[name]}" for name in _NUMBERS)
        raise InputError(
            f"the environment is not torchrun's, or its machines have unequal numbers of processes: {found}"
        )
    return place


def torchrun_address() -> tuple[str, int, bool]:
    """Host and port of the store in which the processes meet, and whether torchrun itself keeps it."""
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    return os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), kept


def _is_possible(place: Rank) -> bool:
    within = 0 <= place.rank < place.world_size and 0 <= place.local_rank < place.local_world_size
    # Machines are numbered by the number of processes of each.
    return within and place.world_size % place.local_world_size == 0


def name_of(rank: int, world_size: int, host: str, pid: int) -> str:
    """A process, as sentences name it."""
    return f"rank {rank} of {world_size} (host {host}, process id {pid})"
