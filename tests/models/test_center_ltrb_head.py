import pytest
import torch
from multi_task_batch import make_label, make_sample

from admlops.errors import ModelError
from admlops.models.heads import CenterLtrbHead
from admlops.models.heads.center_ltrb_head import _is_peak
from admlops.task_spec import CAMERA_TASKS

TASK = "det_vehicle_sign"
HW = (64, 96)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return CenterLtrbHead(CAMERA_TASKS[TASK])


def targets_of(head, hw=HW, **label):
    return head.make_targets([make_sample({TASK: make_label(TASK, **label)}, hw)], HW)


def test_small_box_is_one_peak_and_a_few_cells(head):
    target = targets_of(head, boxes=[[8, 8, 16, 16]], codes=[1])
    assert (target.heat == 1).nonzero().tolist() == [[0, 1, 3, 3]]
    assert target.heat.sum() == 1
    assert target.background.sum() == 2 * 16 * 24
    # Points of cells: (2.5 ... 3.5) * 4 = 10 and 14 px lie in the box; 18 px does not.
    assert sorted(target.box_cells[:, 1:].tolist()) == [[2, 2], [2, 3], [3, 2], [3, 3]]
    assert target.box_weights.sum().item() == pytest.approx(1)
    assert target.normalizers.tolist() == [1, 1]


def test_smaller_box_wins_cells_and_each_box_weighs_one(head):
    target = targets_of(head, boxes=[[0, 0, 64, 64], [28, 28, 36, 36]], codes=[0, 1])
    at_center = target.boxes[(target.box_cells[:, 1:] == torch.tensor([8, 8])).all(dim=1)]
    assert at_center.tolist() == [[28, 28, 36, 36]]
    assert target.box_weights.sum().item() == pytest.approx(2)


@pytest.mark.parametrize(
    ("label", "background"),
    [
        ({"labelled_categories": ["traffic_sign"]}, [0, 16 * 24]),
        ({"non_exhaustive_categories": ["traffic_sign"]}, [16 * 24, 4]),
        ({"boxes": [[8, 8, 16, 16], [40, 40, 48, 56]], "codes": [1, 1], "ignore": [False, True]}, [16 * 24, 16 * 24 - 2 * 4]),
        (
            {"boxes": [[8, 8, 16, 16], [40, 40, 48, 56]], "codes": [1, 2], "category_sets": {"any": ["vehicle"]}},
            [16 * 24 - 8, 16 * 24],
        ),
        ({"hw": (32, 48)}, [8 * 12, 8 * 12]),
    ],
    ids=["unlabelled class", "non-exhaustive", "ignored box", "category set", "padding"],
)
def test_background_is_known_only_where_somebody_looked(head, label, background):
    target = targets_of(head, **{"boxes": [[8, 8, 16, 16]], "codes": [1], **label})
    assert target.background.sum(dim=(0, 2, 3)).tolist() == background
    assert target.heat[0, 1, 3, 3] == 1


@pytest.mark.parametrize("box", [[20, -30, 60, -10], [-30, 20, -10, 60], [-40, -40, -10, -10]])
def test_an_ignored_box_beyond_the_border_hides_no_background(head, box):
    target = targets_of(head, boxes=[box], codes=[0], ignore=[True])
    assert target.background.sum() == 2 * 16 * 24


def test_a_box_of_a_set_is_no_peak_but_a_set_cell(head):
    target = targets_of(head, boxes=[[40, 40, 48, 56]], codes=[2], category_sets={"any": ["vehicle", "traffic_sign"]})
    assert target.heat.sum() == 0
    assert target.set_cells.tolist() == [[0, 12, 11]]
    assert target.set_members.tolist() == [[True, True]]
    assert target.normalizers.tolist() == pytest.approx([1, 1])
    feats = (torch.randn(1, 32, 16, 24),)
    assert all(torch.isfinite(value) for value in head.loss(feats, target, target.normalizers).values())


def test_unlabelled_class_and_sample_get_no_gradient(head):
    label = make_label(TASK, [[8, 8, 16, 16]], [1], labelled_categories=["traffic_sign"])
    samples = [make_sample({TASK: label}), make_sample({})]
    target = head.make_targets(samples, HW)
    logits = torch.randn(2, 2, 16, 24, requires_grad=True)
    head.forward = lambda feats: (logits, torch.zeros(2, 4, 16, 24))
    head.loss((), target, target.normalizers)["loss_heatmap"].backward()
    assert logits.grad[0, 0].abs().sum() == 0
    assert logits.grad[0, 1].abs().sum() > 0
    assert logits.grad[1].abs().sum() == 0


def test_a_planted_peak_becomes_its_box(head):
    logits = torch.full((1, 2, 16, 24), -10.0)
    raw = torch.zeros(1, 4, 16, 24)
    logits[0, 1, 5, 7], logits[0, 1, 5, 8] = 3.0, 2.0
    raw[0, :, 5, 7] = torch.tensor([8.0, 4.0, 32.0, 16.0]).div(16).log()
    boxes, scores, labels = head.decode(logits, raw, torch.tensor([True, True]))
    # The point of cell (5, 7) is x = 30, y = 22; its neighbour is no local maximum.
    torch.testing.assert_close(boxes[0, 0], torch.tensor([22.0, 18.0, 62.0, 38.0]))
    assert scores[0, 0].item() == pytest.approx(1 / (1 + torch.e**-3), abs=1e-6)
    assert labels[0, 0] == 1
    assert scores[0, 1] < 1e-3
    boxes, scores, labels = head.decode(logits, raw, torch.tensor([True, False]))
    assert scores.max() < 1e-3


@pytest.mark.parametrize(
    ("plateau", "first"),
    [
        ([(5, 7), (5, 8)], [(5, 7)]),
        ([(5, 7), (6, 7)], [(5, 7)]),
        ([(5, 8), (6, 7)], [(5, 8)]),
        ([(5, 7), (6, 8)], [(5, 7)]),
        ([(0, 22), (0, 23), (1, 22), (1, 23)], [(0, 22)]),  # at a border
        ([(5, column) for column in range(3, 12)], [(5, 3)]),
        ([(5, 7), (5, 9)], [(5, 7), (5, 9)]),  # no neighbours
    ],
)
def test_of_equal_neighbours_the_first_in_reading_order_is_the_peak(head, plateau, first):
    logits = torch.full((1, 2, 16, 24), -10.0) + 0.1 * torch.rand(1, 2, 16, 24)
    for row, column in plateau:
        logits[0, 1, row, column] = 3.0
    boxes, scores, _ = head.decode(logits, torch.zeros(1, 4, 16, 24), torch.tensor([True, True]))
    found = boxes[0, scores[0] > 0.5]
    # A cell's point is the middle of its box.
    assert sorted(((box[:2] + box[2:]) / 8 - 0.5).flip(0).tolist() for box in found) == [list(cell) for cell in first]


def test_peaks_of_distinct_logits_are_the_largest_of_their_windows():
    logits = torch.randn(2, 3, 9, 11)
    expected = torch.nn.functional.max_pool2d(logits, 3, stride=1, padding=1) == logits
    assert torch.equal(_is_peak(logits), expected)


def test_targets_decode_to_their_boxes(head):
    planted = [[8, 8, 16, 16], [20, 10, 90, 60]]
    target = targets_of(head, boxes=planted, codes=[1, 0])
    logits = torch.where(target.heat == 1, 5.0, -9.0)
    raw = torch.zeros(1, 4, 16, 24)
    for (_, row, column), box in zip(target.box_cells.tolist(), target.boxes, strict=True):
        point = torch.tensor([column * 4 + 2.0, row * 4 + 2.0])
        raw[0, :, row, column] = torch.cat([point - box[:2], box[2:] - point]).div(16).log()
    boxes, _, labels = head.decode(logits, raw, torch.tensor([True, True]))
    found = {label: box.tolist() for box, label in zip(boxes[0, :2], labels[0, :2].tolist(), strict=True)}
    assert found[1] == pytest.approx(planted[0], abs=1e-3)
    assert found[0] == pytest.approx(planted[1], abs=1e-3)


def test_prior_survives_init_weights(head):
    head.init_weights()
    assert torch.equal(head.heatmap.conv.bias, torch.full((2,), -3.7))
    prob = head((torch.randn(1, 32, 16, 24),))[0].sigmoid()
    assert prob.mean().item() == pytest.approx(1 / (1 + 2.718282**3.7), abs=0.005)
    assert head.ltrb.conv.bias.abs().max() == 0


def test_peak_outside_the_valid_part_is_dropped(head):
    head.forward = lambda feats: (
        torch.where(torch.arange(24) == 20, 5.0, -9.0).expand(1, 2, 16, 24),
        torch.zeros(1, 4, 16, 24),
    )
    (found,) = head.predict((), [{"img_shape": (64, 60)}], HW, torch.tensor([True, True]))
    assert len(found.bboxes) == 0


def test_threshold_of_zero_lets_neither_slopes_nor_forbidden_classes_pass(head):
    head.score_threshold = 0.0
    logits = torch.arange(24.0).expand(1, 2, 16, 24) + torch.arange(16.0)[:, None]
    head.forward = lambda feats: (logits, torch.zeros(1, 4, 16, 24))
    (found,) = head.predict((), [{}], HW, torch.tensor([False, True]))
    assert found.labels.tolist() == [1]


def test_large_distances_stay_finite(head):
    boxes = head.boxes_px(torch.full((1, 4), 100.0), torch.zeros(1), torch.zeros(1))
    assert boxes[0, 2].item() == pytest.approx(2 + 16 * torch.tensor(5.0).exp().item())


def test_segmentation_task_is_refused():
    with pytest.raises(ModelError, match="cannot learn 'seg_lane'"):
        CenterLtrbHead(CAMERA_TASKS["seg_lane"])
