"""Faults of the area `launch`: processes that start, meet, watch each other and end."""

from fault_lists import Fault

_CHILDREN = "slowfast_ext/launch/children.py"
_EXCHANGE = "slowfast_ext/engine/exchange.py"
_MEETING = "slowfast_ext/launch/meeting.py"
_WATCH = "slowfast_ext/launch/watch.py"
_TESTS = "tests/slowfast_ext/launch"

FAULTS = [
    Fault(
        "ranks of the second machine collide with the first's",
        _CHILDREN,
        "Rank(cfg.SHARD_ID * here + local,",
        "Rank(local,",
        f"{_TESTS}/test_launch.py -k rank_of_their_own",
    ),
    Fault(
        "the group is as large as one machine",
        _CHILDREN,
        "world_size(cfg), local, here)",
        "here, local, here)",
        f"{_TESTS}/test_launch.py -k rank_of_their_own",
    ),
    Fault(
        "workers of a killed process are left behind",
        "slowfast_ext/launch/leaving.py",
        "left = [pid for pid in descendants(os.getpid()) if pid not in before]",
        "left = []",
        f"{_TESTS}/test_launch.py -k killed_process",
    ),
    Fault(
        "a killed first process leaves its lock behind",
        _CHILDREN,
        "                release_for(children.pids, cfg.OUTPUT_DIR)\n",
        "",
        f"{_TESTS}/test_launch.py -k killed_first",
    ),
    Fault(
        "why a run has ended is on the screen alone",
        _CHILDREN,
        "        if log is not None and log.is_file():\n",
        "        if False:\n",
        f"{_TESTS}/test_launch.py -k killed_first",
    ),
    Fault(
        "the first step's buckets have another order than the rest's",
        "slowfast_ext/distributed.py",
        "        _settle_buckets(together)\n",
        "        pass\n",
        "tests/slowfast_ext/engine/test_exchange.py -k one_order",
    ),
    Fault(
        "the lock of another run is released with one's own",
        "slowfast_ext/run_lock.py",
        ' and lock["pid"] in pids and not _lives(lock)',
        "",
        "tests/slowfast_ext/test_run_lock.py -k releases_its_lock",
    ),
    Fault(
        "signals are not passed on",
        _CHILDREN,
        "                os.kill(process.pid, number)\n",
        "                pass\n",
        f"{_TESTS}/test_launch.py -k goes_on_to_all",
    ),
    Fault(
        "a process takes the name of the run before",
        _MEETING,
        "run = name if ticket in tickets else None",
        "run = name",
        f"{_TESTS}/test_meeting.py -k 'agree or late'",
    ),
    Fault(
        "the file of a run that is gone is believed",
        _MEETING,
        "            _knock(host, int(port), seconds)\n",
        "",
        f"{_TESTS}/test_meeting.py -k file",
    ),
    Fault(
        "silence is not counted",
        _WATCH,
        "heard.silent += passed",
        "heard.silent += 0.0",
        f"{_TESTS}/test_watch.py -k silent",
    ),
    Fault(
        "signs of life are not looked at",
        _WATCH,
        "if sign != heard.last and not sign",
        "if False and not sign",
        f"{_TESTS}/test_watch.py -k gives_signs",
    ),
    Fault(
        "a pause of all processes counts as silence of the others",
        _WATCH,
        "min(now - before, 2 * self._interval)",
        "now - before",
        f"{_TESTS}/test_watch.py -k pause",
    ),
    Fault(
        "a process number that was given out again is taken for the same process",
        _WATCH,
        "whereabouts() and peer.started == start_time(peer.pid)",
        "whereabouts() and start_time(peer.pid) is not None",
        f"{_TESTS}/test_watch.py -k gone_from_this_machine",
    ),
    Fault(
        "a process that lives is taken for dead",
        _WATCH,
        "and here and not self._lives_here(rank)",
        "and here",
        f"{_TESTS}/test_watch.py -k that_lives",
    ),
    Fault(
        "a process of another container is looked for here",
        _WATCH,
        "        here = peer.whereabouts == whereabouts()\n",
        "        here = True\n",
        f"{_TESTS}/test_watch.py -k another_container",
    ),
    Fault(
        "what has the number of a process of another container is killed",
        _WATCH,
        "peer.whereabouts == whereabouts() and peer.started",
        "peer.started",
        f"{_TESTS}/test_watch.py -k killed_if",
    ),
    Fault(
        "a process that is stopped stays",
        _WATCH,
        "                    kill_all([heard.peer.pid])",
        "                    kill_all([])",
        f"{_TESTS}/test_watch.py -k killed_if",
    ),
    Fault(
        "a broken connection is asked again",
        _WATCH,
        "            self._store = self._address.connect(_RECONNECT_SECONDS)\n",
        "",
        f"{_TESTS}/test_watch.py -k made_again",
    ),
    Fault(
        "one that has left by the rules is missed",
        _WATCH,
        '            if sign == f"{_LEFT}0":\n                continue\n',
        "",
        f"{_TESTS}/test_watch.py -k by_the_rules",
    ),
    Fault(
        "frozen weights are counted as sent",
        _EXCHANGE,
        " if weight.requires_grad]",
        "]",
        "tests/slowfast_ext/engine/test_exchange.py -k 'sent'",
    ),
    Fault(
        "a ring sends everything twice",
        _EXCHANGE,
        "2 * (num_processes - 1) * size // num_processes",
        "2 * size",
        "tests/slowfast_ext/engine/test_exchange.py -k ring",
    ),
    Fault(
        "what the first process says goes through GPUs",
        "slowfast_ext/distributed.py",
        "dist.broadcast_object_list(told, group=_through_cpus())",
        "dist.broadcast_object_list(told)",
        "tests/slowfast_ext/test_distributed.py -k through_cpus",
    ),
    Fault(
        "torchrun's number of processes is not taken",
        "slowfast_ext/distributed.py",
        "        cfg.VTN.CPU_PROCESSES = processes\n        return\n",
        "        return\n",
        "tests/slowfast_ext/test_config_torchrun.py",
    ),
    Fault(
        "the first machine does not wait until the others know why the run ends",
        _CHILDREN,
        "                    self._let_all_learn()\n",
        "                    pass\n",
        f"{_TESTS}/test_launch.py -k looks_late --timeout 90",
    ),
    Fault(
        "a process that is stopped outlives the first machine",
        _CHILDREN,
        "silent > self._timeout",
        "silent < 0",
        f"{_TESTS}/test_launch.py -k first_machine_is_gone --timeout 90",
    ),
]
