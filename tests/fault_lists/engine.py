"""Faults of the area `engine`."""

from fault_lists import Fault

FAULTS: list[Fault] = []
