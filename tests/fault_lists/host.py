"""Faults of the area `host`."""

from fault_lists import Fault

FAULTS: list[Fault] = []
