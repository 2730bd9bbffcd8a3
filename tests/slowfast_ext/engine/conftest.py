"""The toys, and a configuration that trains one."""

import pytest
import toys

from slowfast_ext.host import get_host


@pytest.fixture
def toy_cfg(tiny_cfg, monkeypatch):
    """Load the configuration of a toy with overrides; nothing is seen yet."""
    host = get_host()
    for model in toys.MODELS:
        monkeypatch.setitem(host.MODEL_REGISTRY._obj_map, model.__name__, model)
    monkeypatch.setitem(host.DATASET_REGISTRY._obj_map, "Numbers", toys.Numbers)
    monkeypatch.setattr(toys.ToyLinear, "seen", [])

    def load(*overrides: str):
        return tiny_cfg(*toys.TOY, *overrides)

    return load
