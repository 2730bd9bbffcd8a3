"""Faults of the area `flops`."""

from fault_lists import Fault

FAULTS: list[Fault] = []
