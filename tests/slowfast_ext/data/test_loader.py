"""The loader: one decode per video, full batches, poisonous files, several processes."""

import mmap
import os
import signal
import time
from collections import Counter

import pytest
import torch
from torch import distributed as dist
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from videos import make_video

from slowfast_ext.data import supervisor
from slowfast_ext.data.dataset import Vtnkinetics
from slowfast_ext.data.frames import Frames
from slowfast_ext.data.ledger import FAILED, REPAIRED, USED, encode_outcome
from slowfast_ext.data.loader import VideoLoader, VideoSampler
from slowfast_ext.host.precise_bn import take_batches
from slowfast_ext.video import reader as reader_module
from slowfast_ext.video.decoding import decode_frames
from vtn.errors import InputError

NUM_VIDEOS = 7


@pytest.fixture
def cfg(data_cfg, tmp_path):
    """Seven videos of 20 frames in all lists, in 2 x 3 views."""
    rows = []
    for number in range(NUM_VIDEOS):
        make_video(tmp_path / f"{number}.mp4", 20)
        rows.append(f"{number}.mp4 {number % 5}\n")
    for mode in ("train", "val", "test"):
        (tmp_path / f"{mode}.csv").write_text("".join(rows))
    return data_cfg


def build(dataset, *, train=False, batch_size=4, seed=0, **options) -> VideoLoader:
    sampler = VideoSampler(dataset, shuffle=train, seed=seed)
    return VideoLoader(dataset, sampler, batch_size=batch_size, train=train, **options)


def items(loader) -> list[int]:
    return [item for batch in loader for item in batch[2].tolist()]


def count_decodes(monkeypatch) -> Counter:
    """A counter that after `tell` holds how often each file was decoded, in whatever process."""
    read, write = os.pipe()

    def spy(video, numbers, info, *more, **options):
        os.write(write, f"{video.path.name}\n".encode())
        return decode_frames(video, numbers, info, *more, **options)

    monkeypatch.setattr(reader_module, "decode_frames", spy)

    def tell() -> Counter:
        os.write(write, b"end\n")
        text = b""
        while not text.endswith(b"end\n"):
            text += os.read(read, 65536)
        return Counter(text.decode().split()[:-1])

    return tell


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("num_workers", [0, 1, 2, 3, 9])
@pytest.mark.parametrize("batch_size", [1, 4, 6, 9, 100])
def test_one_decode_serves_all_views_whatever_the_workers(cfg, monkeypatch, num_workers, batch_size):
    tell = count_decodes(monkeypatch)
    loader = build(Vtnkinetics(cfg, "test"), num_workers=num_workers, batch_size=batch_size)
    batches = list(loader)
    assert tell() == {f"{number}.mp4": 1 for number in range(NUM_VIDEOS)}
    assert sorted(item for batch in batches for item in batch[2].tolist()) == list(range(NUM_VIDEOS * 6))
    assert len(batches) == len(loader)
    assert max(len(batch[1]) for batch in batches) <= batch_size
    for (frames, numbers), labels, found, _, _ in batches:
        assert isinstance(frames, Frames)
        assert frames.shape == (len(found), 3, 4, 60, 60)
        assert numbers.shape == (len(found), 4)
        assert labels.tolist() == [item // 6 % 5 for item in found.tolist()]
    assert loader.ledger.summary() == "7 videos: 7 used, 0 repaired, 0 failed"


def test_training_decodes_every_video_once(cfg, monkeypatch):
    tell = count_decodes(monkeypatch)
    loader = build(Vtnkinetics(cfg, "train"), train=True, batch_size=3, num_workers=2)
    found = items(loader)
    assert len(found) == len(set(found)) == 6 == 3 * len(loader)
    assert set(tell().values()) == {1}
    assert loader.ledger.summary() == "7 videos: 6 used, 0 repaired, 0 failed, 1 not used"


@pytest.mark.parametrize("num_workers", [0, 2])
def test_in_training_the_next_of_the_epochs_order_takes_a_failed_ones_place(cfg, tmp_path, num_workers):
    whole = build(Vtnkinetics(cfg, "train"), train=True, batch_size=1)
    order = items(whole)
    bad = {order[1], order[4]}
    for number in bad:
        (tmp_path / f"{number}.mp4").write_bytes(b"")
    loader = build(Vtnkinetics(cfg, "train"), train=True, batch_size=2, num_workers=num_workers)
    batches = [batch[2].tolist() for batch in loader]
    expected = [number for number in order if number not in bad]
    assert batches == [expected[:2], expected[2:4]]
    assert loader.ledger.summary() == "7 videos: 4 used, 0 repaired, 2 failed, 1 not used"
    assert {video for video, entry in loader.ledger.entries.items() if entry.outcome == FAILED} == bad


def test_what_slides_up_is_the_item_itself(cfg, tmp_path):
    dataset = Vtnkinetics(cfg, "train")
    (tmp_path / "2.mp4").write_bytes(b"")
    for (frames, numbers), labels, found, _, meta in build(dataset, train=True, batch_size=3):
        for row, item in enumerate(found.tolist()):
            (own, own_numbers), label, *_ = dataset[item]
            assert torch.equal(frames[row : row + 1].pixels, own.pixels)
            assert torch.equal(numbers[row], own_numbers)
            assert labels[row] == label
        assert meta["outcome"].shape == (3,)


def test_training_may_stop_at_a_failed_video(cfg, tmp_path):
    (tmp_path / "3.mp4").write_bytes(b"")
    loader = build(Vtnkinetics(cfg, "train"), train=True, batch_size=2, stop_on_failure=True)
    with pytest.raises(InputError, match=r"3\.mp4 is empty \(0 bytes\)\. TRAIN\.FAILED_VIDEOS is 'stop'"):
        list(loader)


def test_evaluation_never_substitutes(cfg, tmp_path):
    (tmp_path / "3.mp4").write_bytes(b"")
    loader = build(Vtnkinetics(cfg, "test"), num_workers=2)
    assert sorted(items(loader)) == [item for item in range(NUM_VIDEOS * 6) if item // 6 != 3]
    assert loader.ledger.summary() == "7 videos: 6 used, 0 repaired, 1 failed"


def test_a_broken_tail_is_repaired_and_told(cfg, tmp_path):
    make_video(tmp_path / "3.mkv", 60, fps=10)
    content = (tmp_path / "3.mkv").read_bytes()
    (tmp_path / "3.mkv").write_bytes(content[: len(content) * 2 // 3])
    (tmp_path / "test.csv").write_text("3.mkv 2\n")
    cfg.TRAIN.EVAL_FULL_VIDEO, cfg.TEST.NUM_SPATIAL_CROPS = True, 1
    loader = build(Vtnkinetics(cfg, "test"))
    ((frames, numbers), *_) = next(iter(loader))
    assert loader.ledger.count(REPAIRED) == 1
    assert loader.ledger.entries[0].reason.startswith(f"{tmp_path / '3.mkv'}: ")
    last = int(numbers[0, -1])
    assert 20 < last < 59
    assert len(frames.pixels) == 10


class Poison(Dataset):
    """Numbers; some do to the process that reads them what a poisonous file does."""

    num_views = 2

    def __init__(self, harm: dict[int, str], folder) -> None:
        self.harm, self.folder = harm, folder
        self.paths, self.labels = [f"{number}.mp4" for number in range(6)], list(range(6))

    def __len__(self) -> int:
        return 12

    def __getitem__(self, item: int):
        harm = self.harm.get(item // 2)
        if harm in ("once", "stop once") and not (self.folder / str(item)).exists():
            (self.folder / str(item)).touch()
            harm = {"once": "die", "stop once": "stop"}[harm]
        if harm == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if harm == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if harm == "hang":
            time.sleep(1000)
        if harm == "raise":
            raise RuntimeError("a bug")
        return [torch.full((2,), item)], self.labels[item // 2], item, encode_outcome(USED)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        ("die", "4.mp4: the process that read it died (signal 9, SIGKILL)."),
        ("hang", "4.mp4: reading it took longer than 2 s."),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_a_poisonous_file_costs_itself_only(tmp_path, harm, reason, train):
    loader = build(Poison({4: harm}, tmp_path), train=train, batch_size=2, num_workers=2, timeout=2.0)
    found = items(loader)
    expected = [item for item in range(12) if item // 2 != 4]
    if train:
        assert len(found) == len(set(found)) == 10
        assert set(found) <= set(expected)
    else:
        assert sorted(found) == expected
    assert loader.ledger.count(FAILED) == 1
    assert loader.ledger.entries[4].reason == reason


@pytest.mark.filterwarnings("error")
def test_two_poisonous_files(tmp_path):
    """Also after a loader of PyTorch has set its handler, which raises wherever the main thread is."""
    list(DataLoader(Poison({}, tmp_path), num_workers=1))
    loader = build(Poison({0: "die", 5: "hang"}, tmp_path), batch_size=4, num_workers=2, timeout=2.0)
    assert sorted(items(loader)) == list(range(2, 10))
    assert {video for video, entry in loader.ledger.entries.items() if entry.outcome == FAILED} == {0, 5}


def test_a_worker_that_was_killed_once_is_replaced_and_nothing_is_lost(tmp_path):
    loader = build(Poison({2: "once"}, tmp_path), batch_size=4, num_workers=2)
    assert sorted(items(loader)) == list(range(12))
    assert loader.ledger.summary() == "6 videos: 6 used, 0 repaired, 0 failed"


def test_a_worker_that_dies_before_anyone_looks(tmp_path, monkeypatch):
    """On a busy machine the first item may kill its worker while this process still starts the others."""
    begin, begun = DataLoader.__iter__, []

    def begin_slowly(self):
        batches = begin(self)
        if not begun:
            batches._workers[0].join(timeout=60)
        begun.append(batches)
        return batches

    monkeypatch.setattr(DataLoader, "__iter__", begin_slowly)
    loader = build(Poison({0: "once"}, tmp_path), batch_size=6, num_workers=2)
    assert sorted(items(loader)) == list(range(12))
    assert len(begun) == 3  # both items of the first video have killed a worker


@pytest.fixture
def disturbed(tmp_path, monkeypatch):
    """Load twelve items by two workers, which get a signal when they have loaded ahead: all must come."""
    begin, begun, found = DataLoader.__iter__, [], []
    monkeypatch.setattr(DataLoader, "__iter__", lambda self: begun.append(begin(self)) or begun[-1])

    def load(number: signal.Signals, **options) -> None:
        loader = build(Poison({}, tmp_path), batch_size=2, num_workers=2, **options)
        expected = list(loader.sampler)
        for batch in loader:
            found.extend(batch[2].tolist())
            if len(found) == 2:
                time.sleep(0.5)  # they have loaded ahead, and wait
                for worker in begun[0]._workers:
                    os.kill(worker.pid, number)
        assert found == expected
        assert len(begun) == 2
        assert loader.ledger.summary() == "6 videos: 6 used, 0 repaired, 0 failed"

    return load


@pytest.mark.parametrize("train", [False, True])
def test_idle_workers_that_somebody_kills_are_replaced_and_nothing_is_lost(disturbed, train):
    disturbed(signal.SIGKILL, train=train)


@pytest.mark.parametrize("train", [False, True])
def test_idle_workers_that_somebody_stops_are_replaced(disturbed, train):
    """As by SIGSTOP: this process would wait for the memory that they have sent word of."""
    disturbed(signal.SIGSTOP, train=train, timeout=2.0)


def test_a_worker_that_is_stopped_at_a_video_does_not_cost_it(tmp_path):
    loader = build(Poison({2: "stop once"}, tmp_path), batch_size=4, num_workers=2, timeout=2.0)
    assert sorted(items(loader)) == list(range(12))
    assert loader.ledger.summary() == "6 videos: 6 used, 0 repaired, 0 failed"


def test_a_worker_that_hangs_before_its_first_video_is_replaced(tmp_path, monkeypatch):
    """A process that is forked while a thread holds a lock may wait for it for ever."""
    monkeypatch.setattr(supervisor, "_IDLE_SECONDS", 2.0)
    prepare, hung = supervisor.prepare_worker, tmp_path / "hung"

    def hang_once(parent: int, memory: float, worker: int) -> None:
        prepare(parent, memory, worker)
        if worker == 0 and not hung.exists():
            hung.touch()
            time.sleep(1000)

    monkeypatch.setattr(supervisor, "prepare_worker", hang_once)
    loader = build(Poison({}, tmp_path), batch_size=2, num_workers=2, timeout=2.0)
    assert sorted(items(loader)) == list(range(12))
    assert hung.exists()
    assert loader.ledger.summary() == "6 videos: 6 used, 0 repaired, 0 failed"


def test_workers_that_never_load_anything_end_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "prepare_worker", lambda parent, memory, worker: os._exit(1))
    loader = build(Poison({}, tmp_path), batch_size=4, num_workers=1)
    with pytest.raises(
        InputError, match="1 processes that load videos have died or hung 5 times before they"
    ):
        list(loader)


class Greedy(Dataset):
    """Some items need a GiB for a moment."""

    num_views = 1

    def __len__(self):
        return 4

    def __getitem__(self, item):
        meta = encode_outcome(USED)
        try:
            # From the system: the process that this one is forked from may have freed as much.
            mmap.mmap(-1, 2**30 if item == 2 else 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        except OSError as error:
            meta = encode_outcome(FAILED, str(error))
        return torch.zeros(1), item, item, torch.zeros(1, 3), meta


@pytest.mark.parametrize(("memory", "failed"), [(0.25, {2}), (0, set())])
def test_a_worker_gets_no_more_memory_than_it_may_have(memory, failed):
    loader = build(Greedy(), batch_size=1, num_workers=1, memory=memory)
    list(loader)
    assert {video for video, entry in loader.ledger.entries.items() if entry.outcome == FAILED} == failed


def test_a_bug_is_not_taken_for_a_poisonous_file(tmp_path):
    loader = build(Poison({2: "raise"}, tmp_path), batch_size=4, num_workers=2)
    with pytest.raises(RuntimeError, match="a bug"):
        list(loader)


def _share(rank: int, world: int, meet: str, cfg, mode: str, results) -> None:
    torch.set_num_threads(1)  # a forked process has no others, and would wait for them
    dist.init_process_group("gloo", init_method=f"file://{meet}", world_size=world, rank=rank)
    train = mode == "train"
    loader = build(Vtnkinetics(cfg, mode), train=train, batch_size=6 // world, seed=1)
    results.put((rank, [batch[2].tolist() for batch in loader], loader.ledger.summary()))
    dist.barrier()
    dist.destroy_process_group()


def shares(world: int, cfg, mode: str, meet) -> tuple[list[list[list[int]]], set[str]]:
    """Batches of each process, and what their ledgers say."""
    context = torch.multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [
        context.Process(target=_share, args=(rank, world, str(meet), cfg, mode, results))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    found = sorted(results.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    return [batches for _, batches, _ in found], {summary for *_, summary in found}


@pytest.mark.parametrize("mode", ["train", "val", "test"])
def test_the_same_videos_on_one_two_and_three_processes(cfg, tmp_path, mode):
    (tmp_path / "5.mp4").write_bytes(b"")
    cfg.TEST.NUM_ENSEMBLE_VIEWS, cfg.TEST.NUM_SPATIAL_CROPS = 1, 3
    num_views = 3 if mode == "test" else 1
    everything = [item for item in range(NUM_VIDEOS * num_views) if item // num_views != 5]
    found = {}
    for world in (1, 2, 3):
        batches, summaries = shares(world, cfg, mode, tmp_path / f"meet{world}")
        assert len(summaries) == 1  # every process knows all
        flat = [item for share in batches for batch in share for item in batch]
        assert len(flat) == len(set(flat))
        found[world] = set(flat)
        if mode == "train":
            assert len({len(share) for share in batches}) == 1  # all take part in every step
        else:
            assert sorted(flat) == everything
            assert summaries == {"7 videos: 6 used, 0 repaired, 1 failed"}
    if mode == "train":
        assert found[1] == set(everything)
        assert all(found[world] <= found[1] for world in (2, 3))


def test_training_shares_are_those_of_one_process(cfg, tmp_path):
    """Where no video fails, batch i of all processes together holds what batch i of one process does."""
    (alone,), _ = shares(1, cfg, "train", tmp_path / "meet1")
    for world in (2, 3):
        batches, _ = shares(world, cfg, "train", tmp_path / f"meet{world}")
        together = [set().union(*step) for step in zip(*batches, strict=True)]
        assert together == [set(batch) for batch in alone]


@pytest.mark.parametrize("world", [2, 3, 4, 5])
def test_training_shares_are_equal_where_the_list_cannot_be_divided(cfg, world):
    """Seven videos: each process reads as many as the others, and nobody reads one twice."""
    shares = []
    for rank in range(world):
        sampler = VideoSampler(Vtnkinetics(cfg, "train"), shuffle=True, seed=1)
        sampler.world, sampler.rank = world, rank
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1]) == NUM_VIDEOS // world
    read = [item for share in shares for item in share]
    assert len(read) == len(set(read))


def test_inside_a_loader_of_pytorch_with_its_distributed_sampler(cfg):
    """Foreign loaders and samplers lose nothing; only the one decode is up to their order."""
    dataset = Vtnkinetics(cfg, "test")
    found = []
    for rank in range(2):
        sampler = DistributedSampler(dataset, num_replicas=2, rank=rank, shuffle=True)
        for batch in DataLoader(dataset, batch_size=4, sampler=sampler, num_workers=2):
            found += batch[2].tolist()
    assert sorted(found) == list(range(NUM_VIDEOS * 6))


def test_take_batches_starts_over():
    passes = []

    def one_pass():
        passes.append(len(passes))
        return iter(["a", "b", "c"])

    assert list(take_batches(one_pass, 3)) == ["a", "b", "c"]
    assert passes == [0]
    assert list(take_batches(one_pass, 5)) == ["a", "b", "c", "a", "b"]
    assert list(take_batches(lambda: iter([]), 2)) == []
