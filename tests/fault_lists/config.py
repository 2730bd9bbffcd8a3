"""Faults of the area `config`."""

from fault_lists import Fault

FAULTS: list[Fault] = []
