"""Configurations for the data sets of a test's own folder."""

import pytest
from data_config import make_data_config
from fvcore.common.config import CfgNode


@pytest.fixture
def data_cfg(tmp_path) -> CfgNode:
    """See make_data_config; the lists are in tmp_path."""
    return make_data_config(tmp_path)
