"""The process that speaks with Ray, and with nobody else: Ray may end it at any moment, as when a node dies.

It goes over all that is not finished in passes. Ray tries nothing again: what a pass has lost is left for the
next one, and what that is follows from the records.
"""

import contextlib
import logging
import math
import os
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from slowfast_ext.jobs.claims import Member, read_member
from slowfast_ext.jobs.plan import JobPlan
from slowfast_ext.jobs.ray_how import RayHow
from slowfast_ext.jobs.ray_stages import (
    AnswerVideos,
    DoVideos,
    RayOrders,
    ReadVideos,
    crew_of,
    node_of,
    pieces_table,
)
from slowfast_ext.jobs.records import DIED, JobRecords, mark_from
from slowfast_ext.jobs.work import VideoJob
from slowfast_ext.jobs.worker import left_in
from vtn.errors import InputError

# Videos of a piece, and pieces of a bucket; of blocks, each of some pieces, an actor does one at a time.
_PIECE, _MOST_PIECES, _MOST_BLOCKS = 32, 16, 4096
# A block is handed on when it has so many bytes: two videos or so.
_BLOCK = 2**23
# Of the store that processes of a cluster of our own share, for each of them.
_STORE = 2**29
# Videos, or pieces' ends, that a model on a GPU has at once: their rows are made durable together.
_TOGETHER = 4
_IN_VAIN = 2
# Of a core: what reads is a process beside each model, whose core it takes while that waits.
_READS, _ANSWERS = 0.1, 0.9
_ENVIRONMENT = {
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
    "RAY_worker_niceness": "0",  # by itself Ray lets all others go first
}


class RayDriver:
    """All passes of a job.

    Args:
        job: The job.
        plan: Its videos.
        records: What was done.
        member: This process.
        how: How Ray is used.
        timeout: Seconds after which a video has failed.
        began: As JobShare.retry_since.
    """

    def __init__(
        self,
        job: VideoJob,
        plan: JobPlan,
        records: JobRecords,
        member: Member,
        how: RayHow,
        timeout: float,
        began: str,
    ) -> None:
        self._job, self._plan, self._records, self._member = job, plan, records, member
        self._how, self._timeout, self._began = how, timeout, began
        self._held: set[str] = set()

    def run(self) -> None:
        """Return when nothing is left that nobody else is at.

        Raises:
            InputError: If it is no use to go on.
        """
        # Also those that are finished: a file may have changed since.
        waiting, in_vain, before = list(self._plan.buckets), 0, math.inf
        while True:
            new = {bucket for bucket in waiting if bucket not in self._held and self._member.take(bucket)}
            self._held |= new
            if not self._held:
                return
            # What counts is what the records say, not what Ray gives back.
            died, left = self._pass(sorted(self._held))
            in_vain = 0 if died or new or left < before else in_vain + 1
            before = left
            size = self._records.sizes()
            waiting = [
                name for name in self._plan.buckets if self._records.mark_of(name, self._plan, size) is None
            ]
            if in_vain == _IN_VAIN:
                raise InputError(
                    f"Ray has given back nothing in {_IN_VAIN} passes, though {len(self._held)} parts of the "
                    "list are not finished"
                )

    def _pass(self, buckets: Sequence[str]) -> tuple[int, int]:
        """Do what can be done of buckets; how many videos have ended a process, and how many are left."""
        counts = self._plan.buckets
        pieces = [piece for bucket in buckets for piece in pieces_of(bucket, counts[bucket][2])]
        waiting = Counter(bucket for bucket, _, _ in pieces)
        lacking = Counter()
        for row in self._rows(pieces):
            if row["error"]:
                raise InputError(row["error"])
            bucket = row["bucket"]
            waiting[bucket] -= row["pieces"]
            lacking[bucket] += row["told"] - row["done"]
            if not waiting[bucket] and not lacking[bucket]:
                self._finish(bucket)
        died = self._bury()
        return died, sum(map(self._finish, list(self._held)))

    def _rows(self, pieces: Sequence[tuple[str, int, int]]) -> Iterator[dict[str, Any]]:
        """What actors give back."""
        import ray

        step = -(-len(pieces) // _MOST_BLOCKS)
        blocks = [pieces_table(pieces[begin : begin + step]) for begin in range(0, len(pieces), step)]
        job = self._job
        orders = RayOrders(
            os.getcwd(),
            job.folder,
            self._plan,
            self._records,
            crew_of(self._member.name),
            self._began,
            self._timeout,
            job.make,
            job.reader,
        )
        videos, (reads, answers) = ray.data.from_arrow(blocks), self._pools()
        if job.reader is None:
            videos = videos.map_batches(DoVideos, **answers, **_kept(orders))
        else:
            videos = videos.map_batches(ReadVideos, **reads, **_kept(orders))
            videos = videos.map_batches(AnswerVideos, **answers, **_kept(orders))
        for batch in videos.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
            yield from batch.to_pylist()

    def _pools(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Keywords for the two kinds of actors."""
        import ray
        from ray.data import ActorPoolStrategy

        has = ray.cluster_resources()
        cores, gpus = max(1, int(has.get("CPU", 1))), has.get("GPU", 0.0)
        each = self._how.gpus
        if each is None:
            each = 1.0 if gpus else 0.0
        if each > gpus:
            raise InputError(
                f"--gpus {each:g} is more than the {gpus:g} GPUs of this cluster, so no model can be started"
            )
        models = int(gpus / each + 1e-6) if each else cores
        answers: dict[str, Any] = {"num_cpus": _ANSWERS if self._job.reader else 1.0, "batch_size": None}
        if each:  # Ray Data then wants a number
            answers = {"num_gpus": each, "batch_size": _TOGETHER if self._job.reader else 1}
        reads = {"num_cpus": 1.0 if each else _READS, "batch_size": None}

        def pool(most: int) -> ActorPoolStrategy:
            return ActorPoolStrategy(min_size=1, max_size=most, initial_size=most)

        return reads | {"compute": pool(cores)}, answers | {"compute": pool(models)}

    def _finish(self, bucket: str) -> int:
        """Mark a bucket, and let go of it, if all of its videos are done; how many are not."""
        records, left = left_in(self._plan, self._records, bucket, slice(None), self._began)
        if left:
            return len(left)
        mark = mark_from(self._plan, records)
        if self._records.mark_of(bucket, self._plan, self._records.sizes()) != mark:
            self._records.mark(bucket, mark)
        self._member.give_back(bucket)
        self._held.discard(bucket)
        return 0

    def _bury(self) -> int:
        """Write down at which videos actors have died in a pass; how many.

        The last block has come, so of those that live none is at a video. If a whole node is gone, no video
        is to blame.
        """
        import ray

        alive, died = [node["NodeID"] for node in ray.nodes() if node["Alive"]], 0
        for path in self._job.folder.joinpath("members").glob(f"*.{crew_of(self._member.name)}.*"):
            with contextlib.suppress(ValueError, FileNotFoundError):
                _, (bucket, video, _) = read_member(path)
                if video and any(node.startswith(node_of(path.name)) for node in alive):
                    record = {"path": video, "state": DIED, "why": "the process that read it died"}
                    self._records.append(bucket, [record | {"by": path.name}])
                    died += 1
            path.unlink(missing_ok=True)
        return died


def pieces_of(bucket: str, count: int) -> Iterator[tuple[str, int, int]]:
    """Parts of a bucket with so many videos: where they begin and end."""
    step = max(_PIECE, -(-count // _MOST_PIECES))
    for begin in range(0, count, step):
        yield bucket, begin, begin + step


def connected(address: str, cores: int, logs: str) -> Callable[[], None]:
    """Join a cluster, or start one; how to leave it.

    Args:
        address: Of the cluster; none if empty.
        cores: Of one that is started.
        logs: Folder for its files.

    Raises:
        InputError: If that is not possible.
    """
    os.environ.update(_ENVIRONMENT)
    how: dict[str, Any] = {"address": address}
    if not address:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # what this process can import
        how = {
            "address": "local",
            "num_cpus": cores,
            "include_dashboard": False,
            "object_store_memory": _STORE * (cores + 1),
            "_temp_dir": logs,
        }
    else:
        if home := os.environ.get("SLOWFAST_HOME"):
            how["runtime_env"] = {"env_vars": {"SLOWFAST_HOME": home}}
        # `ray start` asks for the token of this user if there is one; who joins must say that he has it.
        if os.environ.get("RAY_AUTH_TOKEN") or Path("~/.ray/auth_token").expanduser().exists():
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
        import ray.data

        ray.init(log_to_driver=False, logging_level=logging.ERROR, **how)
    except Exception as error:  # of Ray, of many kinds
        traceback.print_exc()
        first = " ".join(str(error).split())[:300]
        if not address:
            raise InputError(f"Ray cannot be started here: {first}") from error
        if "AuthToken" in f"{error} {error.__cause__} {error.__context__}":
            raise InputError(
                f"the Ray cluster at {address} asks for its token: copy ~/.ray/auth_token from its head"
            ) from error
        raise InputError(f"the Ray cluster at {address} cannot be joined: {first}") from error
    context = ray.data.DataContext.get_current()
    context.max_errored_blocks = -1
    context.target_max_block_size = _BLOCK
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    return ray.shutdown


def _kept(orders: RayOrders) -> dict[str, Any]:
    """Keywords of actors that are started again when they die, but are not given a block again."""
    return {
        "batch_format": "pyarrow",
        "fn_constructor_args": (orders,),
        "max_restarts": -1,
        "max_task_retries": 0,
    }
