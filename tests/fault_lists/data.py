"""Faults of the area `data`."""

from fault_lists import Fault

FAULTS: list[Fault] = []
