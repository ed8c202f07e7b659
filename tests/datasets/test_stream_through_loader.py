"""The stream that training sees through real DataLoaders: any ranks, workers, batches and stops give one and the same."""

import itertools
import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_release import people
from torch.utils.data import DataLoader, Dataset

from admlops.datasets import ReleaseDataset, ReleaseSampler, SampleKey

TASKS = ["det_person"]
MIXES = ["natural", "source_balanced", {"sources": {"day": 3, "night": 1}}]


class SampleIds(Dataset[tuple[str, int, int]]):
    """Reads each record, hands back its id and place."""

    def __init__(self, dataset: ReleaseDataset) -> None:
        self.dataset = dataset

    def __getitem__(self, key: SampleKey) -> tuple[str, int, int]:
        return str(self.dataset.read_sample(key)["sample_id"]), key.epoch, key.position


def one_thread(_: int) -> None:
    torch.set_num_threads(1)


def stream(
    dataset: ReleaseDataset, start: int, steps: int, world: int, batch: int, workers: int, mix: Any, method: str = "fork"
) -> list[tuple[str, int, int]]:
    """What the ranks of a run see in so many steps, in the order of the global stream."""
    ranks = []
    for rank in range(world):
        sampler = ReleaseSampler(dataset, seed=5, mix=mix)
        sampler.rank, sampler.world_size = rank, world
        sampler.set_samples_consumed(start)
        started = {"multiprocessing_context": method, "worker_init_fn": one_thread} if workers else {}
        loader = DataLoader(SampleIds(dataset), batch, sampler=sampler, num_workers=workers, collate_fn=list, **started)
        ranks.append([sample for samples in itertools.islice(iter(loader), steps) for sample in samples])
    return [sample for samples in zip(*ranks, strict=True) for sample in samples]


@pytest.fixture
def dataset(make_release: Callable[..., Path]) -> ReleaseDataset:
    # V = 2 * 5 + 3 * 3 = 19, prime to every batch size below.
    root = make_release([people("day", 5, duplicate=2), people("night", 3, duplicate=3)], TASKS)
    return ReleaseDataset({"root": str(root)}, TASKS)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mix=st.sampled_from(MIXES),
    runs=st.lists(st.tuples(st.integers(1, 6), st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=4),
)
def test_runs_stopped_anywhere_and_resumed_with_other_ranks_and_batches_join_up(
    dataset: ReleaseDataset, mix: Any, runs: list[tuple[int, int, int]]
) -> None:
    joined: list[tuple[str, int, int]] = []
    for world, batch, steps in runs:
        seen = stream(dataset, len(joined), steps, world, batch, 0, mix)
        assert len(seen) == steps * world * batch
        joined += seen
    assert joined == stream(dataset, 0, len(joined), 1, 1, 0, mix)


@pytest.mark.parametrize(
    ("method", "world", "batch", "workers", "mix"),
    [("fork", 1, 4, 3, MIXES[0]), ("fork", 2, 3, 2, MIXES[1]), ("fork", 1, 2, 1, MIXES[2]), ("spawn", 1, 4, 2, MIXES[2])],
)
def test_workers_change_nothing(dataset: ReleaseDataset, method: str, world: int, batch: int, workers: int, mix: Any) -> None:
    whole = stream(dataset, 0, 60, 1, 1, 0, mix)
    assert stream(dataset, 7, 5, world, batch, workers, mix, method) == whole[7 : 7 + 5 * world * batch]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**40), epoch=st.integers(0, 2**20), window=st.sampled_from([None, 1, 4, 7]))
def test_any_epoch_holds_each_sample_exactly_duplicate_times(
    dataset: ReleaseDataset, seed: int, epoch: int, window: int | None
) -> None:
    sampler = ReleaseSampler(dataset, seed=seed, shuffle_window=window)
    sampler.set_samples_consumed(epoch * 19)
    counts = Counter(str(dataset.read_sample(key)["sample_id"]) for key in itertools.islice(sampler, 19))
    assert counts == {**{f"day-{i}": 2 for i in range(5)}, **{f"night-{i}": 3 for i in range(3)}}


def train_on(root: Path, state: Path, output: Path) -> None:
    """Write each sample's id and place down, and where to go on; in a process group that can be killed with its workers."""
    os.setsid()
    dataset = ReleaseDataset({"root": str(root)}, TASKS)
    sampler = ReleaseSampler(dataset, seed=5, mix="source_balanced")
    if state.exists():
        sampler.load_state_dict(json.loads(state.read_text()))
    consumed = sampler.samples_consumed
    started = {"num_workers": 2, "multiprocessing_context": "fork", "worker_init_fn": one_thread}
    loader = DataLoader(SampleIds(dataset), 3, sampler=sampler, collate_fn=list, **started)
    with output.open("w") as printed:
        for batch in loader:
            consumed += 3
            sampler.set_samples_consumed(consumed)
            temporary = state.with_suffix(".tmp")
            temporary.write_text(json.dumps(sampler.state_dict()))
            temporary.rename(state)
            printed.write("".join(f"{name} {position}\n" for name, _, position in batch))
            printed.flush()


def test_ids_after_a_kill_mid_epoch_are_those_of_an_uninterrupted_run(dataset: ReleaseDataset, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    seen: list[tuple[str, int] | None] = []
    for run in range(2):
        output = tmp_path / f"{run}.txt"
        output.touch()
        # A fork has torch imported already.
        arguments = (tmp_path / "release", state, output)
        process = multiprocessing.get_context("fork").Process(target=train_on, args=arguments)
        process.start()
        try:
            deadline = time.monotonic() + 120
            while output.read_text().count("\n") < 9:  # of the epoch's 19
                assert process.is_alive()
                assert time.monotonic() < deadline
                time.sleep(0.01)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # loader and workers
            process.join()
        printed = [line.split() for line in output.read_text().splitlines(keepends=True) if line.endswith("\n")]
        seen += [(name, int(position)) for name, position in printed]
        # Killed between the record and the print, a batch is recorded but not printed.
        unprinted = json.loads(state.read_text())["samples_consumed"] - len(seen)
        assert 0 <= unprinted <= 3
        seen += [None] * unprinted
    whole = [(name, position) for name, _, position in stream(dataset, 0, len(seen), 1, 1, 0, "source_balanced")]
    assert [other if one is None else one for one, other in zip(seen, whole, strict=True)] == whole
