"""How the processes of a run find each other: a store at one address, kept by what starts the first ones.

The store outlives the processes: torchrun's holds what they wrote before a restart, ours what they wrote in
the training before the test. So every run of the processes agrees on a name that nobody has used before.
"""

import contextlib
import errno
import functools
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlparse

from torch import distributed as dist

from slowfast_ext.files import reason_of, write_text
from slowfast_ext.launch.leaving import whereabouts
from slowfast_ext.launch.place import Rank, name_of
from slowfast_ext.processes import start_time
from vtn.errors import InputError

_POLL_SECONDS = 0.05
_LEAST_SECONDS = 1.0  # for an answer, however late the connection came


class Alone(RuntimeError):
    """Other processes have not come in time; the text says which."""


@dataclass(frozen=True)
class Address:
    """Where the store of a run is, for a process that is to use it."""

    host: str
    port: int

    def connect(self, seconds: float) -> dist.TCPStore:
        """Connect to the store. Each thread needs a connection of its own: they wait for answers.

        Raises:
            Alone: If nobody answers within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                # Tried in Python first: PyTorch writes a page of lines for each attempt that fails.
                _knock(self.host, self.port, seconds)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Alone(
                        f"nobody answers at {self.host}:{self.port}, where the first process of the run "
                        f"should be ({reason_of(error)}), for {seconds:g} s"
                    ) from None
            time.sleep(_POLL_SECONDS)
        return self._connect_in_a_thread(max(deadline - time.monotonic(), _LEAST_SECONDS))

    def _connect_in_a_thread(self, seconds: float) -> dist.TCPStore:
        """In a thread that is given up: PyTorch waits for ever for a program that is stopped."""
        made: list[dist.TCPStore | RuntimeError] = []

        def connect() -> None:
            try:
                limit = timedelta(seconds=seconds)
                made.append(dist.TCPStore(self.host, self.port, wait_for_workers=False, timeout=limit))
            except RuntimeError as error:
                made.append(error)

        thread = threading.Thread(target=connect, name="connect", daemon=True)
        thread.start()
        thread.join(seconds)
        if not made:
            raise Alone(
                f"what listens at {self.host}:{self.port}, where the first process of the run should be, "
                f"gives no answer for {seconds:.0f} s"
            )
        if isinstance(made[0], RuntimeError):
            raise Alone(f"what answers at {self.host}:{self.port} is no store of a run")
        return made[0]


def _knock(host: str, port: int, seconds: float) -> None:
    """Connect, and hang up.

    Raises:
        OSError: If nobody answers.
    """
    with socket.create_connection((host, port), timeout=seconds) as connection:
        # Linux connects a socket to itself where nobody listens at a port that it may give to the socket.
        if connection.getsockname() == connection.getpeername():
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


@functools.cache
def serve(port: int) -> dist.TCPStore:
    """Keep a store on this machine until the program ends; port 0 is any that is free.

    Raises:
        InputError: If another program has the port.
    """
    try:
        return dist.TCPStore("localhost", port, is_master=True, wait_for_workers=False)
    except RuntimeError:
        raise InputError(
            f"port {port} of this machine is in use: name another with --init_method tcp://HOST:PORT"
        ) from None


@contextlib.contextmanager
def meeting_point(init_method: str, place: Rank, seconds: float) -> Iterator[Address]:
    """Where the processes that this one starts are to meet those of other machines.

    Args:
        init_method: tcp://host:port, env:// or file:///shared/name. With one machine it is not needed: a free
            port is used.
        place: Of the first process that will be started here.
        seconds: How long a file of the first machine is waited for.

    Raises:
        InputError: If init_method names no such place, or its port is in use.
        Alone: If the first machine has not written its file.
    """
    if place.num_shards == 1:
        yield Address("127.0.0.1", serve(0).port)
        return
    parts = urlparse(init_method)
    if parts.scheme == "file":
        with _announced_in(Path(parts.path), place, seconds) as address:
            yield address
        return
    address = _address_in(init_method)
    if place.shard_id == 0:
        serve(address.port)
    yield address


def _address_in(init_method: str) -> Address:
    parts = urlparse(init_method)
    host, port = parts.hostname, None
    with contextlib.suppress(ValueError):
        port = parts.port
    if parts.scheme == "env":
        host, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT", "")
        port = int(port) if port.isdecimal() else None
    if parts.scheme not in ("tcp", "env") or not host or not port:
        raise InputError(
            f"--init_method is {init_method!r}: several machines meet at tcp://HOST:PORT of the first one, "
            "or with file:///PATH in a folder that all of them have"
        )
    return Address(host, port)


@contextlib.contextmanager
def _announced_in(path: Path, place: Rank, seconds: float) -> Iterator[Address]:
    """The address that the first machine writes into a file; another one reads it from there."""
    if place.shard_id == 0:
        address = Address(socket.gethostname(), serve(0).port)
        write_text(path, f"{address.host} {address.port}\n")
        try:
            yield address
        finally:
            path.unlink(missing_ok=True)
        return
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, ValueError):
            host, port = path.read_text(encoding="utf-8").split()
            # A file of a run that is gone names a port at which nobody is.
            _knock(host, int(port), seconds)
            break
        if time.monotonic() > deadline:
            raise Alone(f"the first machine has not come to {path} within {seconds:g} s")
        time.sleep(_POLL_SECONDS)
    yield Address(host, int(port))


def gather(store: dist.Store, place: Rank, seconds: float) -> str:
    """Wait until all processes of a run are here.

    Args:
        store: A connection to the store.
        place: Of this process.
        seconds: How long the others are waited for.

    Returns:
        The name of this run of the processes, the beginning of all keys that they use.

    Raises:
        Alone: If some have not come; the text names them.
    """
    ticket, deadline = uuid.uuid4().hex, time.monotonic() + seconds
    run = ticket if place.rank == 0 else None
    store.set(f"ticket/{place.rank}", ticket)
    ranks, announced = range(place.world_size), False
    while True:
        if place.rank == 0:
            # One of an earlier run may be among them; its process comes again, with a new one.
            tickets = [store.get(f"ticket/{r}").decode() for r in ranks if store.check([f"ticket/{r}"])]
            store.set("welcome", json.dumps([run, tickets]))
        elif run is None and store.check(["welcome"]):
            name, tickets = json.loads(store.get("welcome"))
            run = name if ticket in tickets else None
        if run and not announced:
            store.set(f"{run}/beat/{place.rank}", "0")
            here = socket.gethostname(), os.getpid(), whereabouts(), start_time(os.getpid())
            store.set(f"{run}/here/{place.rank}", json.dumps(here))
            announced = True
        if run and store.check([f"{run}/here/{r}" for r in ranks]):
            return run
        if time.monotonic() > deadline:
            raise Alone(_who_is_missing(store, run, place, seconds))
        time.sleep(_POLL_SECONDS)


def _who_is_missing(store: dist.Store, run: str | None, place: Rank, seconds: float) -> str:
    missing = [0]  # it alone says which others are here
    if run:
        missing = [r for r in range(place.world_size) if not store.check([f"{run}/here/{r}"])]
    who = ", ".join(map(str, missing))
    which = "rank" if len(missing) == 1 else "ranks"
    machines = sorted({r // place.local_world_size for r in missing})
    where = f" (machine {', '.join(map(str, machines))})" if place.num_shards > 1 else ""
    have = "has" if len(missing) == 1 else "have"
    return (
        f"{which} {who} of {place.world_size}{where} {have} not come within {seconds:g} s (DIST_TIMEOUT): "
        "look what became of their command, and whether their machine reaches the first one"
    )


@dataclass(frozen=True)
class Peer:
    """Another process of a run.

    Attributes:
        who: As sentences name it.
        pid: Its process id.
        whereabouts: Where that means something, see leaving.whereabouts.
        started: When it began, see processes.start_time.
    """

    who: str
    pid: int
    whereabouts: str
    started: str | None


def peers_of(store: dist.Store, run: str, place: Rank) -> dict[int, Peer]:
    """The other processes by their ranks, as they have introduced themselves in `gather`."""
    found = {}
    for rank in range(place.world_size):
        if rank != place.rank:
            host, pid, *others = json.loads(store.get(f"{run}/here/{rank}"))
            found[rank] = Peer(name_of(rank, place.world_size, host, pid), pid, *others)
    return found
