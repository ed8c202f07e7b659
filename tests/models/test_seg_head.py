from math import log

import pytest
import torch
from multi_task_batch import make_label, make_sample

from admlops.errors import ModelError
from admlops.models.heads import SegHead
from admlops.task_spec import CAMERA_TASKS

HW = (16, 16)
SEG, LANE = "seg_default", "seg_lane"


def make_head(name, **options):
    head = SegHead(CAMERA_TASKS[name], **options)
    logits = torch.zeros(1, head.task.num_channels, 4, 4, requires_grad=True)
    head.forward = lambda feats: (logits.expand(len(feats[0]), -1, -1, -1),)
    return head, logits


def loss_of(head, *samples):
    target = head.make_targets(samples, HW)
    return head.loss((torch.zeros(len(samples)),), target, target.normalizers.clamp(min=1))


def seg_sample(name, value, hw=HW, mask=None, **keys):
    return make_sample({name: make_label(name, mask=torch.full(HW, value) if mask is None else mask, **keys)}, hw)


def test_equal_logits_cost_log_k_whatever_the_batch_holds():
    head, _ = make_head(SEG)
    assert loss_of(head, seg_sample(SEG, 3))["loss_ce"].item() == pytest.approx(log(12))
    assert loss_of(head, seg_sample(SEG, 3), make_sample({}, HW), seg_sample(SEG, 255))["loss_ce"].item() == pytest.approx(
        log(12)
    )
    assert loss_of(head, make_sample({}, HW))["loss_ce"].item() == 0


def test_category_set_costs_the_sum_of_its_members():
    head, _ = make_head(SEG)
    sample = seg_sample(SEG, 12, category_sets={"ground": ["road", "sidewalk", "terrain"]})
    assert loss_of(head, sample)["loss_ce"].item() == pytest.approx(log(12 / 3))


def test_unlabelled_classes_leave_the_softmax():
    head, logits = make_head(SEG)
    loss = loss_of(head, seg_sample(SEG, 0, labelled_categories=["road", "sky"]))["loss_ce"]
    loss.backward()
    assert loss.item() == pytest.approx(log(2))
    moved = logits.grad.abs().sum(dim=(0, 2, 3)) > 0
    assert moved.nonzero().flatten().tolist() == [0, 8]


def test_pixels_of_a_class_that_the_source_does_not_label_are_left_out():
    head, logits = make_head(SEG)
    loss_of(head, seg_sample(SEG, 3, labelled_categories=["road", "sky"]))["loss_ce"].backward()
    assert logits.grad.abs().max() == 0


def test_lane_background_may_be_a_class_that_is_not_exhaustive():
    head, _ = make_head(LANE, dice_weight=0)
    assert loss_of(head, seg_sample(LANE, 0))["loss_ce"].item() == pytest.approx(log(5))
    unsure = seg_sample(LANE, 0, non_exhaustive_categories=["solid_white", "solid_yellow"])
    assert loss_of(head, unsure)["loss_ce"].item() == pytest.approx(log(5 / 3))
    assert loss_of(head, seg_sample(LANE, 0, labelled_categories=["solid_white"]))["loss_ce"].item() == pytest.approx(log(2))


def test_lane_foreground_weighs_more():
    mask = torch.zeros(HW)
    mask[0, 0] = 2
    head, logits = make_head(LANE, loss_stride=4, foreground_weight=10.0, dice_weight=0)
    loss_of(head, seg_sample(LANE, 0, mask=mask))["loss_ce"].backward()
    # 15 cells of weight 1 and one of weight 10, which pulls logit 2 with probability 1/5: (1/5 - 1) * 10 / 25.
    assert logits.grad[0, 2, 0, 0].item() == pytest.approx(-0.8 * 10 / 25)
    assert logits.grad[0, 0, 1, 1].item() == pytest.approx(-0.8 / 25)


def test_a_label_may_weigh_its_pixels():
    mask = torch.zeros(HW)
    mask[:, :8] = 1
    sample = seg_sample(SEG, 0, mask=mask)
    head, _ = make_head(SEG)
    plain = head.make_targets([sample], HW)
    sample.gt.seg_default.sem_seg.weight = 1 + 2 * mask[None]
    weighed = head.make_targets([sample], HW)
    # The loss sees every other pixel: 8 x 8, half of them three times.
    assert torch.equal(weighed.weights[0], (1 + 2 * mask)[::2, ::2])
    assert (plain.normalizers[0], weighed.normalizers[0]) == (64, 128)


def test_dice_of_a_lane_is_zero_where_it_is_found_and_ignores_absent_classes():
    mask = torch.zeros(HW)
    mask[:, :8] = 2
    head, logits = make_head(LANE, loss_stride=4, dice_weight=1.0)
    assert loss_of(head, seg_sample(LANE, 0, mask=mask))["loss_dice"].item() == pytest.approx(1 - 2 * 1.6 / (3.2 + 8))
    with torch.no_grad():
        logits[:, 2, :, :2], logits[:, 0, :, 2:] = 50.0, 50.0
    assert loss_of(head, seg_sample(LANE, 0, mask=mask))["loss_dice"].item() == pytest.approx(0, abs=1e-5)
    assert loss_of(head, seg_sample(LANE, 0))["loss_dice"].item() == 0


def test_dice_takes_a_set_of_one_class_for_unknown():
    mask = torch.zeros(HW)
    mask[:, :8], mask[8:, 8:] = 2, 5
    head, logits = make_head(LANE, loss_stride=4, dice_weight=1.0)
    sample = seg_sample(LANE, 0, mask=mask, category_sets={"white": ["solid_white"]})
    # The 4 cells of the set lie in neither area: 12 predicted of a probability of 1/5, 8 labelled.
    assert loss_of(head, sample)["loss_dice"].item() == pytest.approx(1 - 2 * 1.6 / (12 / 5 + 8))


def test_padding_takes_no_part():
    head, logits = make_head(SEG)
    with torch.no_grad():
        logits.normal_()
    mask = torch.randint(0, 12, HW)
    other = mask.clone()
    other[10:], other[:, 12:] = 5, 7
    losses = [loss_of(head, seg_sample(SEG, 0, (10, 12), m))["loss_ce"].item() for m in (mask, other)]
    assert losses[0] == losses[1]
    assert losses[0] != loss_of(head, seg_sample(SEG, 0, HW, other))["loss_ce"].item()


def test_sizes_that_are_no_multiples_of_the_stride():
    head = SegHead(CAMERA_TASKS[SEG])
    hw = (30, 45)
    sample = make_sample({SEG: make_label(SEG, mask=torch.randint(0, 12, hw))}, hw)
    feats = (torch.randn(1, 32, 8, 12),)
    target = head.make_targets([sample], hw)
    assert torch.isfinite(head.loss(feats, target, target.normalizers)["loss_ce"])
    (found,) = head.predict(feats, [{}], hw, torch.ones(12, dtype=torch.bool))
    assert found.data.shape == (1, *hw)


def test_a_class_that_is_not_allowed_never_wins():
    head, logits = make_head(SEG)
    with torch.no_grad():
        logits[:, 7], logits[:, 3] = 9.0, 1.0
    allowed = torch.arange(12) != 7
    assert head.decode(logits, HW, allowed).unique().tolist() == [3]
    assert head.decode(logits, HW, torch.ones(12, dtype=torch.bool)).unique().tolist() == [7]


def test_wrong_options_are_refused():
    with pytest.raises(ModelError, match="class_weights"):
        SegHead(CAMERA_TASKS[SEG], class_weights=[1.0, 2.0])
    with pytest.raises(ModelError, match="stride"):
        SegHead(CAMERA_TASKS[SEG], loss_stride=3)
