"""What a label says about each class: the same as training's masks."""

import numpy as np
import pytest

from admlops.analysis.class_states import LABELLED, NON_EXHAUSTIVE, SET_ONLY, UNKNOWN, read_class_states
from admlops.errors import RecordError
from admlops.structures import LabelAvailability
from admlops.task_spec import CAMERA_TASKS, TaskSpec

LANE = CAMERA_TASKS["seg_lane"]
LABELS = [
    {},
    {"labelled_categories": ["solid_white", "solid_yellow"]},
    {"labelled_categories": []},
    {"non_exhaustive_categories": ["double_yellow"]},
    {"category_sets": {"white": ["dashed_white", "solid_white"]}},
    {"labelled_categories": ["solid_white"], "category_sets": {"yellow": ["solid_yellow", "double_yellow"]}},
]


def test_each_state_by_hand():
    label = {
        "labelled_categories": ["dashed_white", "solid_white"],
        "non_exhaustive_categories": ["solid_white"],
        "category_sets": {"yellow": ["solid_yellow"]},
    }
    states = read_class_states(LANE, label, "x:1")
    assert states.states.tolist() == [LABELLED, NON_EXHAUSTIVE, SET_ONLY, UNKNOWN]
    assert states.may_occur.tolist() == [True, True, False, False]
    assert states.set_names == ("yellow",)


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("task", [LANE, TaskSpec("x", CAMERA_TASKS["seg_default"].kind, LANE.classes, LANE.palette)])
def test_agrees_with_training(task, label):
    ours, training = read_class_states(task, label, None), LabelAvailability.from_label(task, label)
    first = task.first_channel
    assert ours.may_occur.tolist() == training.class_labelled[first:].tolist()
    assert (ours.states == LABELLED).tolist() == training.in_metric[first:].tolist()
    in_set = training.category_sets.any(axis=0) if len(training.category_sets) else np.zeros(task.num_channels, bool)
    assert (ours.states == SET_ONLY).tolist() == in_set[first:].tolist()


@pytest.mark.parametrize(
    ("label", "match"),
    [
        ({"labelled_categories": ["dashed"]}, r"labelled_categories names an unknown class 'dashed'(.|\n)*did you mean"),
        ({"category_sets": {"s": ["dashed"]}}, "category_sets.*unknown class"),
        ({"category_sets": {"background": ["solid_white"]}}, "unusable category set"),
        ({"labelled_categories": [], "non_exhaustive_categories": ["solid_white"]}, "not labelled at all"),
    ],
)
def test_refused(label, match):
    with pytest.raises(RecordError, match=match) as caught:
        read_class_states(LANE, label, "index.jsonl:3")
    assert caught.value.where == "index.jsonl:3"
