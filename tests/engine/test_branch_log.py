from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from admlops.engine import BranchLogProcessor, BranchLossHook

PERSON, LANE = "det_person.loss_box", "seg_lane.loss_pixel"


@pytest.fixture
def log_of():
    """Log the given losses, one dict an iteration, as the runner would; return what the last interval says."""

    def log(iterations, window):
        hub = MessageHub(f"test{id(iterations)}")
        runner = SimpleNamespace(message_hub=hub, iter=0, max_iters=10)
        for runner.iter, losses in enumerate(iterations):
            for name, value in {"loss": sum(losses.values()), **losses}.items():
                hub.update_scalar(f"train/{name}", value)
            BranchLossHook().after_train_iter(runner, runner.iter, outputs=losses)
        return BranchLogProcessor(window_size=window).get_log_after_iter(runner, 0, "train")

    return log


def test_a_loss_is_averaged_over_the_iterations_that_computed_it(log_of):
    tag, line = log_of([{PERSON: 2.0, LANE: 8.0}, {PERSON: 3.0}, {PERSON: 7.0, LANE: 4.0}, {PERSON: 8.0}], window=4)
    assert tag[PERSON] == 5.0
    assert tag[LANE] == 6.0
    assert line.endswith("| det_person 5.000  seg_lane 6.000")
    assert line.startswith("iter 4/10 (40 %)  eta ")


def test_a_branch_without_labels_in_the_window_is_not_shown(log_of):
    tag, line = log_of([{PERSON: 2.0, LANE: 8.0}, {PERSON: 4.0}, {PERSON: 6.0}], window=2)
    assert tag[PERSON] == 5.0
    assert LANE not in tag
    assert "seg_lane" not in line


def test_a_network_without_branches_shows_each_of_its_losses(log_of):
    tag, line = log_of([{"loss_cls": 2.0, "loss_bbox": 1.0}, {"loss_cls": 4.0, "loss_bbox": 2.0}], window=2)
    assert tag["loss_cls"] == 3.0
    assert line.endswith("loss 4.500 | loss_cls 3.000  loss_bbox 1.500")
