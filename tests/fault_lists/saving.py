"""Faults of the area `saving`: checkpoints inside an epoch, resuming, signals, one run for each folder."""

from fault_lists import Fault

_LOADER = "slowfast_ext/data/loader.py"
_SAMPLER = "slowfast_ext/data/sampler.py"
_SAVING = "slowfast_ext/engine/saving.py"
_SESSION = "slowfast_ext/engine/session.py"
_STOPPING = "slowfast_ext/engine/stopping.py"
_TRAIN = "slowfast_ext/engine/train.py"
_BATCH_NORMS = "slowfast_ext/engine/batch_norms.py"
_SEEDS = "slowfast_ext/engine/seeds.py"
_METERS = "slowfast_ext/host/meters.py"
_PLACES = "slowfast_ext/host/places.py"
_LOCK = "slowfast_ext/run_lock.py"
_WORKERS = "slowfast_ext/data/workers.py"
_RESUMING = "tests/slowfast_ext/engine/test_resuming.py"
_CUT = "tests/slowfast_ext/engine/test_cut_processes.py"
_KEPT = "tests/slowfast_ext/engine/test_saving.py"
_SIGNALS = "tests/slowfast_ext/engine/test_stopping.py"
_LOCKED = "tests/slowfast_ext/test_run_lock.py"

FAULTS = [
    Fault(
        "dropout goes on with whatever was drawn last",
        _TRAIN,
        "        seed_step(cfg, epoch, iteration)\n",
        "",
        f"{_RESUMING} -k any_step",
    ),
    Fault(
        "every step of an epoch has the same random numbers",
        _SEEDS,
        "cfg.RNG_SEED, epoch, iteration), process)",
        "cfg.RNG_SEED, epoch), process)",
        "tests/slowfast_ext/engine/test_resuming.py -k numbers_of_its_own",
    ),
    Fault(
        "an epoch that was stopped after its line in the log has a second one",
        _TRAIN,
        '        if not begun.get("logged"):  # else it was stopped after its line in the log\n',
        "        if True:\n",
        f"{_RESUMING} -k 'any_step or made_precise'",
    ),
    Fault(
        "the batch in hand counts as used",
        _LOADER,
        "            yield self._transform(batch)\n            # A data set",
        "            self._used = place_of[int(batch[2][-1])]\n"
        "            yield self._transform(batch)\n            # A data set",
        f"{_RESUMING} -k any_step",
    ),
    Fault(
        "places in a share are counted, not looked up",
        _LOADER,
        "self._used = place_of[int(batch[2][-1])] if told else self._used + self.batch_size",
        "self._used = self._used + self.batch_size",
        f"{_RESUMING} -k failed_videos",
    ),
    Fault(
        "precise statistics begin where the epoch was stopped",
        _LOADER,
        "stages, self._begin, self.agreed = self._begin, [], 0",
        "stages, self.agreed = self._begin, 0",
        f"{_RESUMING} -k precise",
    ),
    Fault(
        "what is left is dealt out anew although the number of processes is the same",
        _SAMPLER,
        "bool(stages) and stages[-1][0] == self.world",
        "False",
        "tests/slowfast_ext/data/test_sampler.py -k goes_on_in_its_share",
    ),
    Fault(
        "with another number of processes each goes on as if it were the same",
        _SAMPLER,
        "bool(stages) and stages[-1][0] == self.world",
        "bool(stages)",
        "tests/slowfast_ext/data/test_sampler.py -k stay",
    ),
    Fault(
        "a process keeps its signal to itself",
        _LOADER,
        "    return agree(bits, dist.ReduceOp.BOR) if several else bits",
        "    return agree(bits & 1, dist.ReduceOp.BOR) | bits if several else bits",
        f"{_CUT} -m 'not slow' -k all_leave",
    ),
    Fault(
        "buffers of batch norms stay those of each process",
        _TRAIN,
        "    share_buffers(learner.models)\n",
        "",
        f"{_CUT} -k batch_norms",
    ),
    Fault(
        "statistics that were interrupted stay half done",
        _BATCH_NORMS,
        "                buffer.copy_(kept[name])\n",
        "                pass\n",
        f"{_RESUMING} -k precise",
    ),
    Fault(
        "the line of an epoch tells of its second part only",
        _TRAIN,
        '        meter.take_up(begun["meter"])\n',
        "",
        f"{_RESUMING} -k any_step",
    ),
    Fault(
        "the learning rate starts anew in the middle",
        _TRAIN,
        '        iteration = begun["iteration"]\n',
        "        pass\n",
        f"{_RESUMING} -k any_step",
    ),
    Fault(
        "a validation that was cut short never happens",
        _TRAIN,
        "    if begin.lacks_validation and",
        "    if False and",
        f"{_RESUMING} -k cut_short",
    ),
    Fault(
        "names are compared, not places",
        _PLACES,
        "sorted(paths, key=place_of, reverse=True)",
        "sorted(paths, reverse=True)",
        f"{_RESUMING} {_KEPT} -k places",
    ),
    Fault(
        "an order that has changed is not noticed",
        _SESSION,
        'progress["order"] != order',
        "False",
        f"{_RESUMING} -k another_list",
    ),
    Fault(
        "the state is written as it is by then",
        _SAVING,
        "return copied(self._learner.state(epoch, self._cfg) | {RUN: run})",
        "return self._learner.state(epoch, self._cfg) | {RUN: run}",
        f"{_KEPT} -k does_not_wait",
    ),
    Fault(
        "a step waits for the disk",
        _SAVING,
        "        self._writing = self._writer.submit(attempt)\n",
        "        self._writing = self._writer.submit(attempt)\n        self._writing.result(5)\n",
        f"{_KEPT} -k does_not_wait",
    ),
    Fault(
        "a full disk ends the training",
        _SAVING,
        "            except OSError as error:\n",
        "            except KeyError as error:\n",
        f"{_KEPT} -k full_for_a_while",
    ),
    Fault(
        "what PyTorch alone says of a write ends the training",
        "slowfast_ext/host/checkpoint.py",
        "            raise OSError(str(error)) from error\n",
        "            raise\n",
        f"{_KEPT} -k pytorch_alone",
    ),
    Fault(
        "a save that worked later is forgotten",
        _SAVING,
        "            else:\n                self.failures.pop(kind, None)\n",
        "",
        f"{_KEPT} -k full_for_a_while",
    ),
    Fault(
        "one checkpoint too many is removed",
        _SAVING,
        "[kept:] if kept else []",
        "[kept - 1 :] if kept else []",
        f"{_KEPT} -k newest",
    ),
    Fault(
        "the latest is the best",
        _SAVING,
        "        if self._validations.best == epoch:\n",
        "        if True:\n",
        f"{_KEPT} -k least_error",
    ),
    Fault(
        "the first signal raises",
        _STOPPING,
        "        self.number = number\n\n\ndef signal_in",
        "        self.number = number\n        raise Stopped(number)\n\n\ndef signal_in",
        f"{_SIGNALS} {_RESUMING} -k 'nothing_is_raised or any_step'",
    ),
    Fault(
        "a second signal is noted like the first",
        _STOPPING,
        "        if self.number:\n            text",
        "        if False:\n            text",
        f"{_SIGNALS} -k second_signal",
    ),
    Fault(
        "workers answer signals themselves",
        _WORKERS,
        "        signal.signal(number, signal.SIG_IGN)\n    sys.excepthook",
        "        signal.signal(number, signal.SIG_DFL)\n    sys.excepthook",
        f"{_SIGNALS} -k all_processes",
    ),
    Fault(
        "workers outlive a training that is killed",
        _WORKERS,
        "        end_with(parent)\n",
        "        pass\n",
        f"{_SIGNALS} -k end_with_a_training",
    ),
    Fault(
        "a number that was given to another process counts as the run before",
        _LOCK,
        'lock["began"] == start_time(lock["pid"])',
        'start_time(lock["pid"])',
        f"{_LOCKED} -k gone",
    ),
    Fault(
        "the lock of another host is judged by this one's processes",
        _LOCK,
        '    if other["host"] != socket.gethostname():\n',
        "    if False:\n",
        f"{_LOCKED} -k another_host",
    ),
    Fault(
        "the lock stays",
        _LOCK,
        "        if _read(path) == own:\n",
        "        if False:\n",
        f"{_LOCKED} -k goes_with",
    ),
    Fault(
        "the time of an epoch is that since it went on",
        _METERS,
        'self._began = self._training_began = self._logged - progress["seconds"]',
        "self._began = self._training_began = self._logged",
        "tests/slowfast_ext/host/test_meters.py -k both_parts",
    ),
    Fault(
        "a word is taken for an epoch",
        "slowfast_ext/host/checkpoint.py",
        "    _require_kinds(checkpoint, taken, path_to_checkpoint)\n",
        "",
        "tests/slowfast_ext/engine/test_engine_checkpoint.py -k odd_entries",
    ),
    Fault(
        "random weights are tested without a word",
        "slowfast_ext/engine/start.py",
        "    if required and not cfg.TEST.RANDOM_WEIGHTS:\n",
        "    if False:\n",
        "tests/slowfast_ext/engine/test_start.py -k random_weights",
    ),
    Fault(
        "weights are exported without their average",
        "slowfast_ext/export.py",
        "averaged=True",
        "averaged=False",
        "tests/slowfast_ext/predict/test_exported.py -k averaged",
    ),
]
