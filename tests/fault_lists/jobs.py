"""Faults of the area `jobs`: very many videos, each of them once."""

from fault_lists import Fault

_RECORDS = "slowfast_ext/jobs/records.py"
_CLAIMS = "slowfast_ext/jobs/claims.py"
_WORKER = "slowfast_ext/jobs/worker.py"
_DRIVER = "slowfast_ext/jobs/driver.py"
_FETCH = "slowfast_ext/jobs/fetch.py"
_SUMMARY = "slowfast_ext/jobs/summary.py"
_PROGRESS = "slowfast_ext/jobs/progress.py"
_STAGES = "slowfast_ext/jobs/ray_stages.py"
_ON_RAY = "tests/slowfast_ext/jobs/test_ray_runner.py"
_ONCE = "tests/slowfast_ext/jobs/test_exactly_once.py"
_OF_CLAIMS = "tests/slowfast_ext/jobs/test_claims.py"
_LISTS = "tests/slowfast_ext/jobs/test_lists.py"
_URLS = "tests/slowfast_ext/jobs/test_fetch.py"
_OF_SUMMARY = "tests/slowfast_ext/jobs/test_job_summary.py"
_OF_PROGRESS = "tests/slowfast_ext/jobs/test_job_progress.py"

FAULTS = [
    Fault(
        "a record is written before its row is on disk",
        _RECORDS,
        '            _write_all(self._file, b"".join(self._text))\n            os.fsync(self._file)\n',
        '            _write_all(self._file, b"".join(self._text))\n',
        f"{_ONCE} -k on_disk_before",
    ),
    Fault(
        "damage inside a row is not noticed",
        _RECORDS,
        'whole = len(content) == record["length"] and zlib.crc32(content) == record["crc"]',
        'whole = len(content) == record["length"]',
        f"{_ONCE} -k cut_off",
    ),
    Fault(
        "half a record swallows the next one",
        _RECORDS,
        '                text = b"\\n" + text\n',
        "                pass\n",
        f"{_ONCE} -k half_a_record",
    ),
    Fault(
        "a file that has changed counts as done",
        _RECORDS,
        'if record is None or (record["bytes"], record["mtime_ns"]) != state:',
        "if record is None:",
        f"{_ONCE} -k not_done_again",
    ),
    Fault(
        "a video that kills is tried for ever",
        _WORKER,
        "if len(whys) >= MOST_DEATHS else",
        "if len(whys) >= 3 else",
        f"{_ONCE} -k tried_twice",
    ),
    Fault(
        "nobody helps with what others have left",
        _WORKER,
        "            while sum(self._take(bucket, share.retry_since) for bucket in self._left(share)):\n",
        "            while False:\n",
        f"{_ONCE} -k any_division",
    ),
    Fault(
        "a dead process has its claim taken before its video is written down",
        _DRIVER,
        "member = Member(folder, name, parent=os.getppid())",
        "member = Member(folder, name)",
        f"{_ONCE} -k keeps_its_parent",
    ),
    Fault(
        "a video that hangs holds up the rest",
        _DRIVER,
        "                    self._end_the_long()\n",
        "",
        f"{_ONCE} -k hangs",
    ),
    Fault(
        "the number of a process is taken for the process",
        _CLAIMS,
        "began is not None and began == start_time(pid)",
        "start_time(pid) is not None",
        f"{_OF_CLAIMS} -k given_to_another",
    ),
    Fault(
        "a machine that is gone keeps its claims for ever",
        _CLAIMS,
        "        return age < LEASE\n",
        "        return True\n",
        f"{_OF_CLAIMS} -k lease",
    ),
    Fault(
        "the order of a list is that of its rows",
        "slowfast_ext/jobs/plan.py",
        "for public in sorted(found[bucket]))",
        "for public in found[bucket])",
        f"{_LISTS} -k whatever_the_order",
    ),
    Fault(
        "credentials of a query are written down",
        "slowfast_ext/jobs/names.py",
        "(key, _HIDDEN if _SECRET.search(key) else value)",
        "(key, value)",
        f"{_URLS} -k nothing_that_is_written",
    ),
    Fault(
        "another server is told the credentials",
        _FETCH,
        "request.add_unredirected_header(",
        "request.add_header(",
        f"{_URLS} -k their_server_alone",
    ),
    Fault(
        "half a video counts as fetched",
        _FETCH,
        "if wanted is None or file.tell() == int(wanted):",
        "if True:",
        f"{_URLS} -k fetched",
    ),
    Fault(
        "the report of a job knows the first videos alone",
        _SUMMARY,
        "elif (place := int(self._random.random() * self._sampled)) < _SAMPLE:",
        "elif (place := _SAMPLE) < _SAMPLE:",
        f"{_OF_SUMMARY} -k sample_stands",
    ),
    Fault(
        "the report of a job keeps every reason that it reads",
        _SUMMARY,
        "if key not in self._found and len(self._found) >= _MOST_REASONS:",
        "if False:",
        f"{_OF_SUMMARY} -k does_not_grow",
        slow=True,
    ),
    Fault(
        "a night without work slows a job in its report",
        _SUMMARY,
        "sum(max(0.0, seconds) for seconds in left_out)",
        "0.0 * sum(left_out)",
        f"{_OF_SUMMARY} -k nobody_was",
    ),
    Fault(
        "a process that hung at a video is two",
        _SUMMARY,
        "if by is None or by not in self._ended:",
        "if True:",
        f"{_OF_SUMMARY} -k counted_once",
    ),
    Fault(
        "a report that is gone stays so",
        "slowfast_ext/jobs/merge.py",
        " and job.report.exists()",
        "",
        "tests/slowfast_ext/jobs/test_job_report.py -k written_again",
    ),
    Fault(
        "a file of rows is opened for each of them",
        _RECORDS,
        "file = self._open.pop(part, None)",
        "file = None",
        "tests/slowfast_ext/jobs/test_job_report.py -k few_files",
    ),
    Fault(
        "videos of a bucket count twice, once by the process that finished it",
        _PROGRESS,
        "if bucket in plan and bucket not in marks]",
        "if bucket in plan]",
        f"{_OF_PROGRESS} -k before_their_bucket",
    ),
    Fault(
        "the rate of a job is that since its beginning",
        _PROGRESS,
        "while len(self._looks) > 2 and now - self._looks[1][0] >= _WINDOW:",
        "while False:",
        f"{_OF_PROGRESS} -k last_minutes",
    ),
    Fault(
        "a preparation takes GPUs of a cluster",
        "slowfast_ext/jobs/options.py",
        "args.gpus if args.models else 0.0",
        "args.gpus",
        "tests/slowfast_ext/jobs/test_options.py -k without_a_model",
    ),
    Fault(
        "the page tells credentials of what was typed",
        "slowfast_ext/jobs/options.py",
        "*map(public_name, kept))",
        "*kept)",
        "tests/slowfast_ext/jobs/test_options.py -k what_is_left_holds",
    ),
    Fault(
        "a process that was killed costs all that it did",
        _WORKER,
        "        self._writer.commit()\n",
        "",
        f"{_ONCE} -k on_disk_before",
    ),
    Fault(
        "an actor of Ray gives rows back before they are on disk",
        _STAGES,
        "                self._writer.commit()\n",
        "",
        f"{_ON_RAY} -k killed_costs",
        slow=True,
    ),
    Fault(
        "the last videos of a bucket are in no piece for Ray",
        "slowfast_ext/jobs/ray_driver.py",
        "    for begin in range(0, count, step):\n",
        "    for begin in range(0, count - step + 1, step):\n",
        f"{_ON_RAY} -k pieces",
    ),
    Fault(
        "CPUs are typed for a cluster that has its own",
        "slowfast_ext/jobs/options.py",
        "    if address and args.processes:\n",
        "    if False:\n",
        "tests/slowfast_ext/jobs/test_options.py -k ray_is_asked",
    ),
    Fault(
        "each view of a video takes all of its picture to another process",
        "slowfast_ext/predict/loading.py",
        "Frames((torch.cat(frames.parts),), frames.index)",
        "frames",
        "tests/slowfast_ext/predict/test_many.py -k elsewhere",
    ),
]
