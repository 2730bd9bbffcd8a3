"""The faults of tests/fault_lists fit the code; tests/faults.py tells which are noticed."""

import re
import shlex
from collections import Counter

import faults
import pytest
from fault_lists import ROOT, Fault, load_faults

ALL = [fault for of_area in load_faults().values() for fault in of_area]


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
def test_every_entry_fits_the_code(fault):
    source = (ROOT / fault.file).read_text()
    assert fault.put_into(source) != source
    tests = [word.partition("[")[0].split("::") for word in shlex.split(fault.tests) if ".py" in word]
    assert tests
    for file, *names in tests:
        code = (ROOT / file).read_text()
        assert all(re.search(rf"^(def|class) {name}\b", code, re.MULTILINE) for name in names), names


def test_no_two_have_the_same_name():
    assert [name for name, count in Counter(fault.name for fault in ALL).items() if count > 1] == []


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return faults.Workshop(tmp_path_factory.mktemp("faults"))


POSITIONS = "projects/vtn/positions.py"
# One that is quick.
TEST = "tests/projects/vtn/test_positions.py::test_learned_accepts_narrow_integers"


@pytest.mark.slow
def test_what_is_noticed_and_what_is_not(workshop):
    """8-bit frame indices need `long`: the test sees the copy. Nothing sees an import that is not used."""
    before = (ROOT / POSITIONS).read_bytes()
    assert workshop.is_noticed(
        Fault("8 bits", POSITIONS, "indices = frame_indices.long()", "indices = frame_indices", TEST)
    )
    line = "from torch import nn\n"
    assert not workshop.is_noticed(Fault("harmless", POSITIONS, line, line + "import os\n", TEST))
    assert (ROOT / POSITIONS).read_bytes() == (workshop.root / POSITIONS).read_bytes() == before


def test_entries_that_say_nothing(workshop):
    with pytest.raises(
        faults.Broken, match=r"stale entry 'gone': its text occurs 0 times in projects/vtn/po"
    ):
        workshop.is_noticed(Fault("gone", POSITIONS, "no such text", "", TEST))
    with pytest.raises(faults.Broken, match=r"'no test': without the fault, `pytest .*` exits with 5"):
        workshop.is_noticed(
            Fault("no test", POSITIONS, "indices = frame_indices.long()", "", f"{TEST} -k nothing")
        )


def test_the_table_counts_by_area(capsys):
    faults.print_table(Counter({("vtn", "killed"): 3, ("data", "survived"): 1, ("data", "not run"): 2}))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    assert lines[0] == ["vtn", "3", "/", "3", "100%"]
    assert lines[1] == ["data", "0", "/", "1", "0%,", "2", "not", "run"]
    assert lines[2] == ["all", "3", "/", "4", "75%,", "2", "not", "run"]
