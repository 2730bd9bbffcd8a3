"""Faults of the area `prepare`."""

from fault_lists import Fault

FAULTS: list[Fault] = []
