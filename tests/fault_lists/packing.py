"""Faults of the area `packing`."""

from fault_lists import Fault

FAULTS: list[Fault] = []
