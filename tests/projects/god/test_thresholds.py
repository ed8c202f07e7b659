"""A table of thresholds says what a test with that threshold finds."""

import pytest
import torch
from mmengine.logging import MMLogger
from tiny_god_training import write_config, write_release

from admlops.engine.config import load_config
from admlops.engine.test import run_test
from admlops.errors import ConfigError
from admlops.registry import MODELS
from god.thresholds import measure_thresholds


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    MMLogger.get_current_instance().setLevel("ERROR")
    root = tmp_path_factory.mktemp("thresholds")
    config = write_config(root / "config.py", write_release(root / "release", count=2))
    torch.manual_seed(2)
    model = MODELS.build(load_config(config).model)
    model.init_weights()
    torch.nn.init.normal_(model.branches["god"].head.logits.conv.weight)
    for branch in model.branches.values():
        branch.seen.fill_(True)
    torch.save({"state_dict": model.state_dict()}, root / "checkpoint.pth")
    return config, root / "checkpoint.pth"


def test_each_row_is_what_a_test_with_that_threshold_measures(trained, tmp_path):
    config, checkpoint = trained
    task, rows = measure_thresholds(config, checkpoint, [0.3, 0.48, 1.0])
    assert task == "god_base"
    low, high, never = (row.metrics for row in rows)
    assert low["recall"] > high["recall"] > never["recall"] == 0
    options = {"model.branches.god.head.threshold": 0.48}
    tested = run_test(config, checkpoint, work_dir=tmp_path, options=options)
    assert high == {name: pytest.approx(tested[f"god_base/{name}"], nan_ok=True) for name in high}


def test_a_config_without_an_obstacle_grid_is_refused(trained):
    with pytest.raises(ConfigError, match="measures no obstacle grid"):
        measure_thresholds("projects/god/configs/drivable_2cls.py", trained[1], [0.5])
