"""Which process torchrun says that this one is."""

import pytest

from slowfast_ext.launch.place import Rank, torchrun_place
from vtn import InputError

ENVIRONMENT = {
    "RANK": "5",
    "WORLD_SIZE": "6",
    "LOCAL_RANK": "2",
    "LOCAL_WORLD_SIZE": "3",
    "MASTER_ADDR": "first",
    "MASTER_PORT": "29500",
}


@pytest.fixture
def environment(monkeypatch):
    def put(**changes: str) -> None:
        for name, value in (ENVIRONMENT | changes).items():
            if value:
                monkeypatch.setenv(name, value)
            else:
                monkeypatch.delenv(name, raising=False)

    return put


def test_without_torchrun_there_is_no_place(monkeypatch, environment):
    """Schedulers set RANK and WORLD_SIZE for whole machines."""
    environment(LOCAL_RANK="", LOCAL_WORLD_SIZE="")
    assert torchrun_place() is None


def test_the_second_of_two_machines(environment):
    environment()
    place = torchrun_place()
    assert place == Rank(5, 6, 2, 3)
    assert (place.num_shards, place.shard_id) == (2, 1)


def test_a_part_of_the_environment_is_refused(environment):
    environment(MASTER_PORT="", RANK="")
    with pytest.raises(InputError, match=r"LOCAL_RANK is in the environment.* but RANK, MASTER_PORT are not"):
        torchrun_place()


@pytest.mark.parametrize(
    "changes",
    [{"RANK": "six"}, {"RANK": "6"}, {"LOCAL_RANK": "3"}, {"WORLD_SIZE": "7"}, {"LOCAL_WORLD_SIZE": "0"}],
    ids=str,
)
def test_numbers_that_cannot_be_are_refused(changes, environment):
    environment(**changes)
    with pytest.raises(InputError, match=r"unequal numbers of processes: RANK is "):
        torchrun_place()
