"""Two real processes against one with the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import ddp_worker
import pytest
import torch

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ddp")
    root = str(HERE.parents[1])
    env = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": root}
    script = str(HERE / "ddp_worker.py")
    workers = [subprocess.Popen([sys.executable, script, str(rank), "2", str(folder)], env=env) for rank in range(2)]
    try:
        single = ddp_worker.run(0, 1)
        assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    finally:
        for worker in workers:
            worker.kill()
    return single, [torch.load(folder / f"rank_{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("step", [0, 1])
def test_loss_and_gradients_are_those_of_one_process(runs, step):
    single, ranks = runs
    assert ranks[0][f"losses_{step}"].keys() == ranks[1][f"losses_{step}"].keys() == single[f"losses_{step}"].keys()
    for name, value in single[f"losses_{step}"].items():
        mean = (ranks[0][f"losses_{step}"][name] + ranks[1][f"losses_{step}"][name]) / 2
        torch.testing.assert_close(mean, value, rtol=1e-5, atol=1e-5)
    largest = max(grad.abs().max() for grad in single[f"grads_{step}"].values() if grad is not None)
    for name, expected in single[f"grads_{step}"].items():
        for rank in ranks:
            got = rank[f"grads_{step}"][name]
            assert (got is None) == (expected is None), name
            if expected is not None:
                assert (got - expected).abs().max() <= 1e-5 * max(1.0, largest.item()), name


def test_stock_head_on_one_rank_neither_hangs_nor_learns_half(runs):
    single, ranks = runs
    assert single["stock"], "mmcv's operators are missing: run the set-up again"
    for name, expected in single["stock"].items():
        for rank in ranks:
            torch.testing.assert_close(rank["stock"][name], expected, rtol=1e-4, atol=1e-5)


def test_gradient_norms_are_those_of_one_process(runs):
    single, ranks = runs
    for rank in ranks:
        for name, norm in single["norms"].items():
            torch.testing.assert_close(rank["norms"][name], norm, rtol=1e-4, atol=0)
            assert (norm > 0) == (name != "seg_lane")
        largest = max(grad.abs().max() for grad in single["balanced"].values() if grad is not None)
        for name, expected in single["balanced"].items():
            if expected is not None:
                assert (rank["balanced"][name] - expected).abs().max() <= 1e-5 * max(1.0, largest.item()), name


def test_branch_on_one_rank_learns_and_branch_on_none_has_no_gradient(runs):
    _, ranks = runs
    for rank in ranks:
        grads = rank["grads_1"]
        assert all(grad is None for name, grad in grads.items() if "seg_lane" in name)
        assert all(grad is not None for name, grad in grads.items() if "det_person" in name)
        assert not any("seg_lane" in name for name in rank["losses_1"])


def test_batch_that_nobody_labels_moves_nothing_and_does_not_hang(runs):
    for run in (runs[0], *runs[1]):
        assert list(run["unlabelled"]) == ["loss_zero"]
        assert all(grad is None for grad in run["unlabelled_grads"].values())


def test_bn_training_keeps_ranks_together_and_unlabelled_branch_in_place(runs):
    _, (first, second) = runs
    for name, value in first["end"].items():
        assert torch.equal(value, second["end"][name]), name
        assert torch.equal(value, first["start"][name]) == ("seg_lane" in name), name


def test_seen_classes_are_those_of_all_ranks(runs):
    single, ranks = runs
    for run in (single, *ranks):
        assert run["seen"]["det_person"].all()
        assert not run["seen"]["seg_lane"].any()
