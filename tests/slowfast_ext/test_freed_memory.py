"""Freed memory is used again: the system clears no page for the next block."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import torch
from slowfast_ext.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    print(keep_freed_memory())
def faults(mib):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(mib * 2**20 // 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(64)
print(faults(60))  # glibc 2.36 asks for a little more than it gets, so the same size would not fit
"""


def faults_of_a_second_block(*args: str) -> tuple[list[str], int]:
    *said, faults = subprocess.run(
        [sys.executable, "-c", PROGRAM, *args], capture_output=True, text=True, check=True
    ).stdout.split()
    return said, int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="asks glibc")
def test_a_second_block_costs_no_new_pages():
    assert faults_of_a_second_block("plain")[1] > 10
    said, faults = faults_of_a_second_block("keep")
    assert said == ["True"]
    assert faults < 10
