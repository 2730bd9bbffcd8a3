"""Faults of the area `vtn`."""

from fault_lists import Fault

FAULTS = [
    Fault(
        "dropout of the head is off",
        "projects/vtn/heads.py",
        "nn.Dropout(dropout)",
        "nn.Dropout(0.0)",
        "tests/projects/vtn/test_vtn_model.py -k dropout",
    ),
]
