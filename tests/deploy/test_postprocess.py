"""A decoding in a graph finds what the head's ``decode`` finds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from decoding_graphs import RUNTIMES, decoding_model

from admlops.deploy.postprocess import describe_outputs
from admlops.deploy.postprocess.argmax import bilinear_weights
from admlops.errors import ExportError
from admlops.models.heads import CenterLtrbHead, SegHead
from admlops.models.heads.center_ltrb_head import _is_peak
from admlops.structures import OutputSpec, TensorSpec
from admlops.task_spec import CAMERA_TASKS, LIDAR_TASKS

DET, SEG, LANE = (CAMERA_TASKS[name] for name in ("det_vehicle_sign", "seg_default", "seg_lane"))
runtimes = pytest.mark.parametrize("run", RUNTIMES.values(), ids=RUNTIMES)


def on_grid(*shape: int, low: int = -40, high: int = 41) -> torch.Tensor:
    """Multiples of 1 / 16, so that there are many ties; plateaus where ``low`` and ``high`` are near."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(0)) / 16


def check_detections(run, head, heatmap, ltrb, allowed=(True, True)):
    """Compare with the head: as many detections of the same scores, each one of the head's; torch orders no equal scores."""
    raw = dict(zip([tensor.name for tensor in head.output_spec().tensors], (heatmap, ltrb), strict=True))
    outputs = run(decoding_model(head.output_spec(), allowed, raw, (heatmap.shape[2] * 4, heatmap.shape[3] * 4)), raw)
    boxes, scores, labels = (outputs[f"{DET.name}.{name}"] for name in ("boxes", "scores", "labels"))
    assert (boxes.dtype, scores.dtype, labels.dtype) == (np.float32, np.float32, np.int32)
    assert len(boxes) == len(scores) == len(labels) == min(head.max_detections, heatmap.numel())
    every = CenterLtrbHead(DET, max_detections=heatmap.numel())
    all_boxes, all_scores, all_labels = (each[0].numpy() for each in every.decode(heatmap, ltrb, torch.tensor(allowed)))
    np.testing.assert_allclose(scores, all_scores[: len(scores)], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(scores > 0, all_scores[: len(scores)] > 0)
    taken = set()
    for box, score, label in zip(boxes, scores, labels, strict=True):
        if score > 0:
            same = (all_labels == label) & (np.abs(all_scores - score) < 1e-6)
            differences = np.where(same, np.abs(all_boxes - box).max(axis=1), np.inf)
            assert differences.min() < 1e-4 * max(1, np.abs(box).max() / 100)
            taken.add(int(differences.argmin()))
    assert len(taken) == (scores > 0).sum()
    return boxes, scores, labels


@runtimes
@pytest.mark.parametrize(("low", "high"), [(-40, 41), (-3, 4), (0, 2)], ids=["some ties", "plateaus", "nothing but plateaus"])
def test_detections_are_those_of_the_head(run, low, high):
    scores = check_detections(run, CenterLtrbHead(DET), on_grid(1, 2, 37, 45, low=low, high=high), on_grid(1, 4, 37, 45))[1]
    assert len(scores) == 100


@runtimes
@pytest.mark.parametrize(("low", "high"), [(-40, 41), (-3, 4), (0, 2)])
def test_equal_scores_stand_in_the_order_of_the_heat_map(run, low, high):
    heatmap = on_grid(1, 2, 37, 45, low=low, high=high)
    boxes, _, labels = check_detections(run, CenterLtrbHead(DET), heatmap, torch.zeros(1, 4, 37, 45))
    peaks = torch.where(_is_peak(heatmap), heatmap, -torch.inf).flatten()
    # All boxes are 32 px wide and high around the middle of their cell.
    column, row = np.rint((boxes[:, :2] + 16) / 4 - 0.5).astype(int).T
    found = labels * 37 * 45 + row * 45 + column
    values, expected = peaks.sort(descending=True, stable=True)
    # Which of the last logit's peaks are left out is not defined.
    surely = int((values > values[99]).sum())
    np.testing.assert_array_equal(found[:surely], expected[:surely])
    assert (np.diff(found[surely:]) > 0).all()
    assert (peaks[found[surely:]] == values[99]).all()


@runtimes
def test_every_detection_counts_where_there_are_few(run):
    heatmap = torch.full((1, 2, 16, 24), -10.0)
    heatmap[0, 1, 5, 7], heatmap[0, 0, 0, 23], heatmap[0, 0, 15, 0] = 3.0, 2.0, 1.0
    boxes, scores, labels = check_detections(run, CenterLtrbHead(DET), heatmap, torch.zeros(1, 4, 16, 24))
    # Cell (5, 7) of 4 px has its middle at x = 30, y = 22; a raw distance of 0 is 16 px.
    np.testing.assert_allclose(boxes[0], [14, 6, 46, 38], atol=1e-4)
    assert labels[:3].tolist() == [1, 0, 0]
    # Of each class's background one cell is the first of its plateau.
    assert (scores > 0.1).sum() == 3


@runtimes
def test_no_more_rows_than_cells(run):
    head = CenterLtrbHead(DET)
    boxes, scores, _ = check_detections(run, head, on_grid(1, 2, 3, 4), on_grid(1, 4, 3, 4))
    assert boxes.shape == (24, 4)
    assert (scores > 0).sum() < 24


@runtimes
def test_a_class_that_nobody_labelled_is_never_detected(run):
    heatmap = on_grid(1, 2, 20, 20)
    _, scores, labels = check_detections(run, CenterLtrbHead(DET), heatmap, on_grid(1, 4, 20, 20), (False, True))
    assert set(labels[scores > 0]) == {1}


@runtimes
def test_a_cell_without_peak_scores_exactly_0(run):
    heatmap = torch.arange(20.0).view(1, 1, 4, 5).expand(1, 2, 4, 5) - 30
    _, scores, _ = check_detections(run, CenterLtrbHead(DET), heatmap, torch.zeros(1, 4, 4, 5))
    assert (scores > 0).sum() == 2


@runtimes
def test_large_distances_are_limited(run):
    ltrb = torch.full((1, 4, 4, 4), 80.0)
    boxes, _, _ = check_detections(run, CenterLtrbHead(DET), on_grid(1, 2, 4, 4), ltrb)
    np.testing.assert_allclose(boxes[0, 2] - boxes[0, 0], 2 * 16 * np.exp(5), rtol=1e-5)


def check_mask(run, head, logits, input_hw, allowed=None):
    allowed = allowed or [True] * head.task.num_channels
    raw = {head.output_spec().tensors[0].name: logits}
    mask = run(decoding_model(head.output_spec(), allowed, raw, input_hw), raw)[f"{head.task.name}.mask"]
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, head.decode(logits, input_hw, torch.tensor(allowed))[0].numpy())
    return mask


@runtimes
@pytest.mark.parametrize("task", [SEG, LANE], ids=lambda task: task.name)
@pytest.mark.parametrize(("low", "high"), [(-40, 41), (0, 2)], ids=["some ties", "plateaus"])
def test_masks_are_those_of_the_head(run, task, low, high):
    logits = on_grid(1, task.num_channels, 23, 31, low=low, high=high)
    assert len(np.unique(check_mask(run, SegHead(task), logits, (92, 124)))) > 2


@runtimes
def test_a_mask_ends_where_the_input_does(run):
    assert check_mask(run, SegHead(LANE), on_grid(1, 5, 8, 12), (30, 45)).shape == (30, 45)


@runtimes
@pytest.mark.parametrize("stride", [1, 2, 8])
def test_other_strides(run, stride):
    head = SegHead(LANE, stride=stride, loss_stride=1)
    check_mask(run, head, on_grid(1, 5, 8, 12), (8 * stride, 12 * stride))


@runtimes
def test_a_channel_that_nobody_labelled_never_wins(run):
    logits = on_grid(1, 5, 8, 12)
    logits[:, 2] += 20
    assert set(np.unique(check_mask(run, SegHead(LANE), logits, (32, 48), [False, True, False, True, True]))) == {1, 3, 4}
    assert set(np.unique(check_mask(run, SegHead(LANE), logits, (32, 48), [False, False, False, True, False]))) == {3}


def test_interpolation_by_two_takes_three_quarters_of_the_nearer_cell():
    weights = bilinear_weights(2)
    assert weights.shape == (4, 1, 3, 3)
    # The left upper pixel of a cell: of the cell above it a quarter, of the one left of it a quarter.
    np.testing.assert_array_equal(weights[0, 0] * 16, [[1, 3, 0], [3, 9, 0], [0, 0, 0]])


def test_an_unknown_decoding_is_refused_by_name():
    spec = OutputSpec(DET, (), "center_ltrbb")
    with pytest.raises(ExportError, match="det_vehicle_sign: no graph can decode") as caught:
        describe_outputs(spec)
    assert caught.value.remedy == "did you mean 'center_ltrb'?"


@runtimes
def test_a_margin_holds_back_the_second_class(run):
    spec = OutputSpec(LIDAR_TASKS["god_base"], (TensorSpec("god_base.logits", 2, 1),), "argmax", {"fold": 1, "margin": 1.5})
    raw = {"god_base.logits": torch.tensor([[[[0.0, 0.0, 0.0, -1.0]], [[1.0, 1.5, 1.75, 1.0]]]])}
    found = run(decoding_model(spec, (True, True), raw, (1, 4)), raw)
    assert found["god_base.mask"].tolist() == [[0, 0, 1, 1]]
    np.testing.assert_allclose(found["god_base.score"], torch.sigmoid(torch.tensor([[1.0, 1.5, 1.75, 2.0]])), atol=1e-6)
    assert run(decoding_model(spec, (False, True), raw, (1, 4)), raw)["god_base.mask"].tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("fold", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("god_base", (True, True)),
        ("god_base", (True, False)),
        ("god_base", (False, True)),
        ("drivable_multi", (True, False) * 2 + (True,)),
    ],
)
def test_folded_cells_are_decoded_like_pixel_shuffle(runtime, fold, name, allowed):
    task = LIDAR_TASKS[name]
    channels = task.num_channels
    tensor = TensorSpec(f"{name}.logits", channels * fold * fold, fold)
    spec = OutputSpec(task, (tensor,), "argmax", {"fold": fold})
    # Few values, so that ties are common: the first of the best wins.
    logits = torch.randint(-2, 3, (1, tensor.channels, 5, 7), generator=torch.Generator().manual_seed(fold)).float()
    raw, input_hw = {tensor.name: logits}, (5 * fold, 7 * fold)
    found = RUNTIMES[runtime](decoding_model(spec, allowed, raw, input_hw), raw)
    shuffled = F.pixel_shuffle(logits, fold).masked_fill(~torch.tensor(allowed)[None, :, None, None], -torch.inf)
    assert np.array_equal(found[f"{name}.mask"], shuffled.max(dim=1).indices[0].to(torch.uint8).numpy())
    assert (f"{name}.score" in found) == (channels == 2)
    if channels == 2:
        np.testing.assert_allclose(found[f"{name}.score"], shuffled.softmax(dim=1)[0, 1].numpy(), atol=1e-6)
