"""The toys, and a configuration that trains one."""

import pytest
import toys

from slowfast_ext.host import get_host


@pytest.fixture(scope="module")
def registered_toys():
    """The toys are in the registries while the tests of a module run."""
    host = get_host()
    with pytest.MonkeyPatch.context() as patch:
        for model in toys.MODELS:
            patch.setitem(host.MODEL_REGISTRY._obj_map, model.__name__, model)
        patch.setitem(host.DATASET_REGISTRY._obj_map, "Numbers", toys.Numbers)
        yield


@pytest.fixture
def toy_cfg(tiny_cfg, registered_toys, monkeypatch):
    """Load the configuration of a toy with overrides; nothing is seen yet."""
    monkeypatch.setattr(toys.ToyLinear, "seen", [])

    def load(*overrides: str):
        return tiny_cfg(*toys.TOY, *overrides)

    return load
