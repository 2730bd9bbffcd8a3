"""Which items are left of an epoch that was begun, whatever the numbers of processes."""

import pytest

from slowfast_ext.data.sampler import VideoSampler


def sampler(length: int, world: int, rank: int) -> VideoSampler:
    made = VideoSampler(range(length), shuffle=True, seed=3)
    made.world, made.rank = world, rank
    return made


def batches(length: int, world: int, size: int, stages=()) -> list[list[int]]:
    """Batches of all processes together, of what is left, sorted: the order inside one changes nothing."""
    shares = []
    for rank in range(world):
        items, begin = sampler(length, world, rank).share(stages)
        shares.append(items[begin:])
    each = size // world
    count = min(len(share) for share in shares) // each
    return [sorted(x for share in shares for x in share[n * each : (n + 1) * each]) for n in range(count)]


@pytest.mark.parametrize("before", [1, 2, 3])
@pytest.mark.parametrize("after", [1, 2, 3])
@pytest.mark.parametrize("done", [0, 1, 3])
def test_the_batches_of_all_processes_stay(before, after, done):
    """47 items in batches of six; two numbers of processes, then the first one again, one step later."""
    whole = batches(47, 1, 6)
    assert len(whole) == 7
    stages = [(before, [done * 6 // before] * before)]
    assert batches(47, after, 6, stages) == whole[done:]
    more = [(after, [(done * (before == after) + 1) * 6 // after] * after)]
    again = more if before == after else stages + more
    assert batches(47, before, 6, again) == whole[done + 1 :]


def test_with_the_same_number_each_goes_on_in_its_share():
    """Where videos have failed, the processes are at different places of theirs."""
    shares = [sampler(20, 2, rank).share()[0] for rank in (0, 1)]
    for rank, position in ((0, 7), (1, 4)):
        assert sampler(20, 2, rank).share([(2, [7, 4])]) == (shares[rank], position)
    order = sampler(20, 1, 0).share()[0]
    used = {*shares[0][:7], *shares[1][:4]}
    assert sampler(20, 1, 0).share([(2, [7, 4])]) == ([item for item in order if item not in used], 0)


def test_evaluation_always_begins_at_the_start():
    made = VideoSampler(range(5), shuffle=False, seed=3)
    assert made.share() == ([0, 1, 2, 3, 4], 0)
