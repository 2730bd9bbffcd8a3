"""A share of tests/fuzz_videos.py: damaged files of every kind, read in every way that the project has."""

import pytest
from fuzzing.cases import Case, choose_cases
from fuzzing.checks import FINDINGS
from fuzzing.kinds import KINDS
from fuzzing.runner import is_explained, run_cases

NUM_CASES = 144


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What came of the first cases, by number."""
    folder = tmp_path_factory.mktemp("fuzz")
    return {result.case.number: result for result in run_cases(choose_cases(0, NUM_CASES), folder, jobs=2)}


def test_every_case_ends(results):
    assert sorted(results) == list(range(NUM_CASES))
    assert {result.case.kind for result in results.values()} == set(KINDS)
    assert {result.outcome for result in results.values()} == {"used", "repaired", "failed"}


@pytest.mark.parametrize("name", FINDINGS)
def test_what_no_damage_leads_to(results, name):
    found = [
        f"case {number}: {result.case.kind}, {result.case.damage}: {finding.detail}"
        for number, result in sorted(results.items())
        for finding in result.findings
        if finding.name == name and not is_explained(result, finding)
    ]
    assert not found, "\n".join(found)


def test_a_case_is_the_same_file_each_time(tmp_path):
    """Also where the undamaged videos are made anew."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    for number in range(len(KINDS)):
        case = Case.of(number)
        assert case.make(tmp_path / "one") == case.make(tmp_path / "other"), case
