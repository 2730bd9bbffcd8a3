"""Faults of the area `report`."""

from fault_lists import Fault

FAULTS: list[Fault] = []
