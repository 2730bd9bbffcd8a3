"""Configurations for the data sets of a test's own folder."""

import pytest
from data_config import make_data_config
from fvcore.common.config import CfgNode


@pytest.fixture
def data_cfg(tmp_path) -> CfgNode:
    """VTN on 4-frame clips of tmp_path/{mode}.csv; frames are scaled to 64 and cropped to 56."""
    return make_data_config(tmp_path)


@pytest.fixture
def slowfast_cfg(data_cfg) -> CfgNode:
    """The same data for SlowFast."""
    data_cfg.MODEL.MODEL_NAME, data_cfg.MODEL.ARCH = "SlowFast", "slowfast"
    return data_cfg
