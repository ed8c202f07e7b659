from math import log

import pytest
import torch

from admlops.models.losses import center_heatmap_loss, dice_loss, giou_loss, masked_logits, set_cell_loss, set_cross_entropy


def rows(*sets, num_channels=4):
    table = torch.zeros(1, 256, num_channels, dtype=torch.bool)
    for value, members in enumerate(sets):
        table[0, value, list(members)] = True
    return table


def test_a_set_of_two_of_four_equal_classes_costs_log_two():
    values = torch.tensor([[[0, 1, 255]]])
    loss = set_cross_entropy(torch.zeros(1, 4, 1, 3), values, rows({0}, {1, 2}))
    torch.testing.assert_close(loss[0, 0], torch.tensor([log(4), log(2), 0.0]))


def test_samples_with_and_without_sets_share_a_batch():
    logits = torch.randn(2, 4, 3, 5)
    values = torch.randint(0, 4, (2, 3, 5))
    plain = rows({0}, {1}, {2}, {3})
    with_sets = rows({0}, {1}, {2, 3}, {3})
    both = set_cross_entropy(logits, values, torch.cat([plain, with_sets]))
    torch.testing.assert_close(both[0], torch.nn.functional.cross_entropy(logits[:1], values[:1], reduction="none")[0])
    prob = logits[1].softmax(dim=0)
    expected = torch.where(values[1] == 2, prob[2] + prob[3], prob.gather(0, values[1][None])[0])
    torch.testing.assert_close(both[1], -expected.log())


@pytest.mark.parametrize("sets", [({0}, {1}), ({0, 1}, {1})])
def test_an_unlabelled_class_has_no_gradient_and_no_probability(sets):
    logits = torch.tensor([1.0, 2.0, 30.0, 0.5]).view(1, 4, 1, 1).requires_grad_()
    allowed = torch.tensor([[True, True, False, True]])
    loss = set_cross_entropy(masked_logits(logits, allowed), torch.tensor([[[1]]]), rows(*sets)).sum()
    loss.backward()
    assert logits.grad[0, 2] == 0
    assert logits.grad[0, [0, 1, 3]].abs().min() > 0
    others = torch.tensor([1.0, 2.0, 0.5])
    torch.testing.assert_close(loss.detach(), others.logsumexp(0) - 2.0)


@pytest.mark.parametrize(
    ("heat", "background", "expected"), [(1.0, 0.0, 0.25), (0.0, 1.0, 0.25), (0.5, 1.0, 0.25 / 16), (0.0, 0.0, 0)]
)
def test_heat_map_loss_at_probability_one_half(heat, background, expected):
    shape = (1, 1, 1, 1)
    loss = center_heatmap_loss(torch.zeros(shape), torch.full(shape, heat), torch.full(shape, background))
    assert loss.item() == pytest.approx(expected * log(2))


def test_a_set_cell_is_any_of_its_members():
    logits = torch.zeros(2, 3)
    members = torch.tensor([[True, True, False], [True, False, False]])
    assert set_cell_loss(logits[:1], members[:1]).item() == pytest.approx(-log(0.75))
    assert set_cell_loss(logits[1:], members[1:]).item() == pytest.approx(-log(0.5))


@pytest.mark.parametrize("logit", [-20.0, -60.0])
def test_a_set_cell_that_the_network_takes_for_background_still_learns(logit):
    logits = torch.full((1, 3), logit, requires_grad=True)
    set_cell_loss(logits, torch.tensor([[True, True, False]])).backward()
    # Of a small probability p = p_a + p_b the loss is -log(p), half of whose slope falls on each logit.
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.5, -0.5, 0.0]]))


def test_a_set_cell_without_any_probability_stays_finite():
    logits = torch.full((1, 3), -200.0, requires_grad=True)
    set_cell_loss(logits, torch.ones(1, 3, dtype=torch.bool)).backward()
    assert torch.isfinite(logits.grad).all()


def test_giou_of_overlapping_and_of_distant_boxes():
    pred = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 1, 1]])
    true = torch.tensor([[1.0, 0, 3, 2], [2, 0, 3, 1], [0, 0, 1, 1]])
    torch.testing.assert_close(giou_loss(pred, true), torch.tensor([1 - 1 / 3, 1 + 1 / 3, 0.0]))


def test_dice_counts_known_pixels_of_counted_classes():
    targets = torch.tensor([[[[1.0, 0.0, 1.0]], [[0.0, 1.0, 0.0]]]])
    probs = torch.tensor([[[[1.0, 0.0, 0.0]], [[0.5, 0.5, 1.0]]]])
    known = torch.tensor([[[True, True, False]]])
    counted = torch.tensor([[True, True]])
    # Class 0 is right on the known pixels; class 1: 1 - 2 * 0.5 / (1 + 1) = 0.5.
    assert dice_loss(probs, targets, known, counted).item() == pytest.approx(0.5)
    assert dice_loss(probs, targets, known, torch.tensor([[True, False]])).item() == pytest.approx(0)
