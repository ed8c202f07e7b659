import copy
import math

import pytest
import torch
from multi_task_batch import detector_config, make_sample, random_labels, silence_init_weights

import admlops.models  # noqa: F401
from admlops.errors import ConfigError
from admlops.models.loss_balance import GradientNormBalance, UncertaintyBalance
from admlops.registry import MODELS

TASKS = ("det_person", "seg_lane")
BOTH = torch.tensor([True, True])


def build(balance=None, tasks=TASKS, **overrides):
    silence_init_weights()
    torch.manual_seed(0)
    return MODELS.build(detector_config(tasks, loss_balance=balance, **overrides)).train()


def total(losses):
    """As mmengine sums what it minimises."""
    return sum(value for name, value in losses.items() if "loss" in name)


def step(model, labels, optimizer=None):
    samples = [make_sample(random_labels(i, tasks)) for i, tasks in enumerate(labels)]
    inputs = torch.rand(len(labels), 3, 64, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    model.zero_grad()
    losses = model(inputs, samples, mode="loss")
    total(losses).backward()
    if optimizer is not None:
        optimizer.step()
    return losses


def pull(balance, slopes, masks=None):
    """The gradients of branches with losses ``slope * weight * mean`` over two samples of one cell, alone and in sum."""
    feat = torch.zeros(2, 1, 1, 1, requires_grad=True)
    masks = masks or dict.fromkeys(slopes, BOTH)
    shared = balance.share((feat,), masks)
    losses = {}
    for name, slope in slopes.items():
        loss = slope * (shared[name][0].flatten() * masks[name]).sum() / masks[name].sum()
        losses |= {f"{name}.{key}": value for key, value in balance.weigh(name, {"loss": loss}).items()}
    total(losses).backward()
    return feat.grad.flatten().tolist()


def norms(balance):
    return {name: state.norm.item() for name, state in balance.items()}


def test_gradients_of_1_and_10_become_equal():
    balance = GradientNormBalance({"a": 1.0, "b": 1.0})
    # A mean over two samples: 0.5 and 5 each; nothing is known yet.
    assert pull(balance, {"a": 1.0, "b": 10.0}) == [5.5, 5.5]
    assert norms(balance) == {"a": 1.0, "b": 10.0}
    assert balance.scales() == {"a": 5.5, "b": pytest.approx(0.55)}
    # 5.5 of each branch, opposite ones cancel.
    assert pull(balance, {"a": 1.0, "b": -10.0}) == pytest.approx([0.0, 0.0])


def test_loss_weight_is_the_ratio_that_balanced_branches_pull_with():
    balance = GradientNormBalance({"a": 3.0, "b": 1.0})
    pull(balance, {"a": 1.0, "b": 10.0})
    assert norms(balance) == {"a": 1.0, "b": 10.0}
    # Two samples share 3 * 5.5 of one branch and 5.5 of the other.
    assert pull(balance, {"a": 1.0, "b": -10.0}) == pytest.approx([5.5, 5.5])


def test_norm_does_not_depend_on_how_many_samples_are_labelled():
    balance = GradientNormBalance({"a": 1.0, "b": 1.0})
    pull(balance, {"a": 4.0, "b": 4.0}, {"a": BOTH, "b": torch.tensor([True, False])})
    assert norms(balance) == {"a": 4.0, "b": 4.0}


def test_what_reaches_samples_without_labels_is_not_measured():
    balance = GradientNormBalance({"a": 1.0})
    feat = torch.zeros(2, 1, 1, 1, requires_grad=True)
    # As through the statistics of a batch normalisation.
    (7 * balance.share((feat,), {"a": torch.tensor([True, False])})["a"][0].sum()).backward()
    assert norms(balance) == {"a": 7.0}


def test_norm_is_over_all_levels_that_a_branch_reads():
    balance = GradientNormBalance({"a": 1.0})
    feats = tuple(torch.zeros(1, 1, 1, 1, requires_grad=True) for _ in range(3))
    fine, coarse, _ = balance.share(feats, {"a": torch.tensor([True])})["a"]
    (3 * fine.sum() + 4 * coarse.sum()).backward()
    assert norms(balance) == {"a": 5.0}
    assert feats[2].grad is None


def test_running_norm_is_a_mean_that_becomes_exponential():
    balance = GradientNormBalance({"a": 1.0}, momentum=0.5)
    for slope in (2.0, 4.0, 8.0, math.inf):
        pull(balance, {"a": slope})
    # (2 + 4) / 2 = 3, then (3 + 8) / 2; what is not finite is not counted.
    assert norms(balance) == {"a": 5.5}


def test_absent_branch_keeps_its_norm_and_a_new_one_passes_unscaled():
    balance = GradientNormBalance(dict.fromkeys("abc", 1.0))
    pull(balance, {"a": 1.0, "b": 10.0})
    assert pull(balance, {"a": 1.0}) == pytest.approx([2.75, 2.75])
    assert norms(balance) == {"a": 1.0, "b": 10.0, "c": 0.0}
    assert pull(balance, {"c": 4.0}) == [2.0, 2.0]


def test_branch_without_weight_is_not_measured():
    balance = GradientNormBalance({"a": 0.0, "b": 1.0})
    pull(balance, {"a": 1.0, "b": 10.0})
    assert norms(balance) == {"a": 0.0, "b": 10.0}


def test_equal_norms_and_weights_change_nothing():
    first, second = (torch.nn.Parameter(torch.tensor([[1.0, 2.0]]).reshape(1, 2, 1, 1)) for _ in range(2))
    balance = GradientNormBalance({"a": 1.0, "b": 1.0})
    for _ in range(3):
        first.grad = second.grad = None
        shared = balance.share((first * 3,), {"a": BOTH[:1], "b": BOTH[:1]})
        (shared["a"][0].sum() + (-shared["b"][0] + 2 * shared["b"][0].flip(1) * 0).sum() + 0.1 * first.sum()).backward()
        plain = second * 3
        (plain.sum() + (-plain + 2 * plain.flip(1) * 0).sum() + 0.1 * second.sum()).backward()
        assert torch.equal(first.grad, second.grad)


@pytest.mark.parametrize("balance", ["GradientNormBalance", "UncertaintyBalance"])
def test_first_step_is_that_of_fixed_weights_and_logs_show_raw_losses(balance):
    fixed, balanced = build(), build({"type": balance})
    for number in range(2):
        expected, got = (step(model, [TASKS, TASKS]) for model in (fixed, balanced))
        for name, value in expected.items():
            assert torch.equal(got[name], value), name
        if number == 0:
            others = dict(balanced.named_parameters())
            for name, parameter in fixed.named_parameters():
                assert torch.equal(parameter.grad, others[name].grad), name


def test_heads_keep_their_own_gradients():
    fixed, balanced = build(), build({"type": "GradientNormBalance"})
    for _ in range(2):
        for model in (fixed, balanced):
            step(model, [TASKS, TASKS])
    others = dict(balanced.named_parameters())
    for name, parameter in fixed.named_parameters():
        assert torch.equal(parameter.grad, others[name].grad) == name.startswith("branches."), name


@pytest.mark.parametrize("balance", ["GradientNormBalance", "UncertaintyBalance"])
def test_restored_network_goes_on_bit_for_bit(balance):
    def train(model, optimizer, number):
        for index in range(number, number + 2):
            step(model, [TASKS, TASKS[index % 2 :]], optimizer)

    whole = build({"type": balance})
    optimizer = torch.optim.AdamW(whole.parameters(), lr=1e-2)
    train(whole, optimizer, 0)
    resumed = build({"type": balance})
    resumed.load_state_dict(whole.state_dict())
    other = torch.optim.AdamW(resumed.parameters(), lr=1e-2)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(whole, optimizer, 2)
    train(resumed, other, 2)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_uncertainty_weighs_loss_and_regulariser():
    balance = UncertaintyBalance({"a": 3.0})
    with torch.no_grad():
        balance["a"].log_variance.fill_(math.log(4))
    loss = torch.tensor(5.0, requires_grad=True)
    weighed = balance.weigh("a", {"loss": loss})
    assert weighed["loss"] == 15.0
    assert weighed["uncertainty_loss"].item() == pytest.approx(1.5 * math.log(4))
    total(weighed).backward()
    # Of three times the sum of 5 exp(-s) and s / 2.
    assert loss.grad == pytest.approx(3 / 4)
    assert balance["a"].log_variance.grad == pytest.approx(3 * (0.5 - 5 / 4))


def test_uncertainty_settles_where_every_weighed_loss_is_a_half():
    balance = UncertaintyBalance({"a": 1.0, "b": 1.0})
    optimizer = torch.optim.SGD(balance.parameters(), lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        total(balance.weigh("a", {"loss_x": torch.tensor(8.0)})).backward()
        optimizer.step()
    assert balance["a"].log_variance.item() == pytest.approx(math.log(16), abs=1e-3)
    # Never labelled: neither its loss nor its regulariser moved it.
    assert balance["b"].log_variance == 0


def test_uncertainty_of_a_branch_without_labels_stays():
    model = build({"type": "UncertaintyBalance"})
    losses = step(model, [("det_person",)])
    assert not any(name.startswith("seg_lane") for name in losses)
    gradients = {name: state.log_variance.grad for name, state in model.loss_balance.items()}
    assert gradients["det_person"] is not None
    assert gradients["seg_lane"] is None


@pytest.mark.parametrize("balance", ["GradientNormBalance", "UncertaintyBalance"])
def test_frozen_branch_freezes_what_balances_it(balance):
    model = build({"type": balance}, frozen=("branches.det_person",)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        step(model, [TASKS, TASKS], optimizer)
    for name, value in model.state_dict().items():
        if name.startswith("loss_balance."):
            assert torch.equal(value, before[name]) == ("det_person" in name), name


def test_nothing_is_measured_where_the_trunk_does_not_learn():
    model = build({"type": "GradientNormBalance"}, frozen=("backbone", "neck"))
    step(model, [TASKS, TASKS])
    assert norms(model.loss_balance) == {"det_person": 0.0, "seg_lane": 0.0}


def test_what_balances_a_branch_is_a_parameter_of_its_own():
    unshared, shared = build({"type": "UncertaintyBalance"}).get_unshared_and_shared_params()
    assert "loss_balance.seg_lane.log_variance" in unshared["seg_lane"]
    assert all(name.startswith(("backbone.", "neck.")) for name in shared)
    assert not [name for name in build().state_dict() if name.startswith("loss_balance")]


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_unusable_momentum_is_refused(momentum):
    with pytest.raises(ConfigError, match="momentum is unusable"):
        GradientNormBalance({"a": 1.0}, momentum=momentum)
