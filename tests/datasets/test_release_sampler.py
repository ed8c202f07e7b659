import itertools
import pickle
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_release import make_record, people

from admlops.datasets import ReleaseDataset, ReleaseSampler, SampleKey
from admlops.datasets.stream_mix import largest_remainder
from admlops.errors import ConfigError, DataReleaseError

TASKS = ["det_person", "seg_lane"]
EMPTY = {"boxes": [], "categories": []}


def _sampler(dataset: ReleaseDataset, rank: int = 0, world: int = 1, **kwargs: object) -> ReleaseSampler:
    sampler = ReleaseSampler(dataset, **kwargs)
    sampler.rank, sampler.world_size = rank, world
    return sampler


def _take(sampler: ReleaseSampler, count: int) -> list[SampleKey]:
    return list(itertools.islice(sampler, count))


@pytest.fixture
def dataset(make_release: Callable[..., Path]) -> ReleaseDataset:
    # V = 2 * 7 + 1 * 5 + 3 * 4 = 31; signatures: person 14, lane 5, both 12.
    both = [make_record(f"both-{i}", "x.jpg", (4, 4), {"det_person": EMPTY, "seg_lane": {"polylines": []}}) for i in range(4)]
    lane = [make_record(f"lane-{i}", "x.jpg", (4, 4), {"seg_lane": {"polylines": []}}) for i in range(5)]
    root = make_release(
        [
            people("person", 7, duplicate=2, task_tags=["det_person"]),
            {"name": "lane", "records": lane, "task_tags": ["seg_lane"]},
            {"name": "both", "records": both, "duplicate": 3, "task_tags": TASKS},
        ],
        TASKS,
    )
    return ReleaseDataset({"root": str(root)}, TASKS)


def _sample_id(dataset: ReleaseDataset, key: SampleKey) -> str:
    return str(dataset.read_sample(key)["sample_id"])


def _source(dataset: ReleaseDataset, key: SampleKey) -> str:
    return next(segment.name for segment in dataset.segments if segment.start <= key.index < segment.stop)


@pytest.mark.parametrize("window", [None, 4, 1000])
def test_every_epoch_holds_each_sample_exactly_duplicate_times(dataset: ReleaseDataset, window: int | None) -> None:
    keys = _take(_sampler(dataset, seed=3, shuffle_window=window), 3 * 31)
    expected = {f"person-{i}": 2 for i in range(7)} | {f"lane-{i}": 1 for i in range(5)} | {f"both-{i}": 3 for i in range(4)}
    epochs = [[key.index for key in keys[e * 31 : (e + 1) * 31]] for e in range(3)]
    for epoch, indices in enumerate(epochs):
        assert sorted(indices) == list(range(31))
        assert Counter(_sample_id(dataset, SampleKey(i, 0, 0)) for i in indices) == expected
        assert [(k.epoch, k.position) for k in keys[epoch * 31 : (epoch + 1) * 31]] == [(epoch, p) for p in range(31)]
    assert epochs[0] != epochs[1] != epochs[2]


MIX = {"ratio": {"det_person": 2, "seg_lane": 1, "det_person+seg_lane": 1}, "global_batch_size": 8}


SOURCES = {"sources": {"person": 5, "lane": 2}}


@pytest.mark.parametrize("mix", ["natural", MIX, "source_balanced", SOURCES])
@pytest.mark.parametrize("world", [1, 2, 3, 4, 8])
def test_all_worlds_walk_one_stream(dataset: ReleaseDataset, world: int, mix: object) -> None:
    reference = _take(_sampler(dataset, seed=1, mix=mix), 240)
    ranks = [_take(_sampler(dataset, rank, world, seed=1, mix=mix), 240 // world) for rank in range(world)]
    assert [key for keys in zip(*ranks, strict=True) for key in keys] == reference
    assert len(_sampler(dataset, 0, world)) == -(-31 // world)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    stop=st.integers(0, 5000),
    before=st.integers(1, 8),
    after=st.integers(1, 8),
    window=st.sampled_from([None, 6]),
    mix=st.sampled_from(["natural", "source_balanced", SOURCES]),
)
def test_resume_at_any_place_and_world(
    dataset: ReleaseDataset, stop: int, before: int, after: int, window: int | None, mix: object
) -> None:
    whole = _sampler(dataset, seed=9, shuffle_window=window, mix=mix)
    whole.set_samples_consumed(stop)
    stopped = _sampler(dataset, 0, before, seed=9, shuffle_window=window, mix=mix)
    stopped.set_samples_consumed(stop)
    resumed = [_sampler(dataset, rank, after, seed=0, shuffle_window=window, mix=mix) for rank in range(after)]
    for sampler in resumed:
        sampler.load_state_dict(pickle.loads(pickle.dumps(stopped.state_dict())))
    ranks = [_take(sampler, 5) for sampler in resumed]
    assert [key for keys in zip(*ranks, strict=True) for key in keys] == _take(whole, 5 * after)


def test_stopped_stream_equals_the_uninterrupted_one(dataset: ReleaseDataset) -> None:
    uninterrupted = _take(_sampler(dataset, seed=2), 2500)
    for stop in (1, 30, 31, 1024, 2000):
        sampler = _sampler(dataset, seed=2)
        sampler.set_samples_consumed(stop)
        assert _take(sampler, 400) == uninterrupted[stop : stop + 400]


def test_iterators_are_independent(dataset: ReleaseDataset) -> None:
    sampler = _sampler(dataset, seed=2)
    first = iter(sampler)
    head = [next(first) for _ in range(5)]
    del first
    assert _take(sampler, 5) == head
    assert sampler.samples_consumed == 0


def test_ratio_composition_is_exact(dataset: ReleaseDataset) -> None:
    # Batches of 8 at 2:1:1 hold 4, 2 and 2. 70 batches draw 280 of 14 person indices: each 20 times; 140 of 5 lane
    # indices: each 28 times; 140 of 12 indices with both: 11 or 12 times.
    assert (_sampler(dataset).global_batch_size, _sampler(dataset, mix=MIX).global_batch_size) == (None, 8)
    keys = _take(_sampler(dataset, seed=4, mix=MIX), 70 * 8)
    for batch in range(70):
        counts = Counter(_source(dataset, key) for key in keys[batch * 8 : batch * 8 + 8])
        assert counts == {"person": 4, "lane": 2, "both": 2}
    draws = Counter(key.index for key in keys)
    assert {draws[i] for i in range(14)} == {20}
    assert {draws[i] for i in range(14, 19)} == {28}
    assert {draws[i] for i in range(19, 31)} == {11, 12}
    assert [(k.epoch, k.position) for k in keys[30:32]] == [(0, 30), (1, 0)]


def test_every_source_is_drawn_equally_often_in_an_order_of_each_round(dataset: ReleaseDataset) -> None:
    sampler = _sampler(dataset, seed=4, mix="source_balanced")
    assert sampler.global_batch_size is None
    keys = _take(sampler, 3 * 70)
    sources = [_source(dataset, key) for key in keys]
    rounds = [tuple(sources[i : i + 3]) for i in range(0, len(sources), 3)]
    assert set(rounds) == set(itertools.permutations(["person", "lane", "both"]))
    # 70 draws each: of 14 indices each 5 times, of 5 each 14 times, of 12 each 5 or 6 times.
    draws = Counter(key.index for key in keys)
    assert {draws[i] for i in range(14)} == {5}
    assert {draws[i] for i in range(14, 19)} == {14}
    assert {draws[i] for i in range(19, 31)} == {5, 6}
    # Each pass over a source is in another order.
    person = [key.index for key in keys if key.index < 14]
    assert person[:14] != person[14:28]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stop=st.integers(1, 900), seed=st.integers(0, 2**40), weights=st.tuples(*[st.integers(1, 7)] * 3))
def test_wherever_it_stops_each_source_has_had_its_share(
    dataset: ReleaseDataset, stop: int, seed: int, weights: tuple[int, int, int]
) -> None:
    def counts(mix: object) -> Counter[str]:
        return Counter(_source(dataset, key) for key in _take(_sampler(dataset, seed=seed, mix=mix), stop))

    balanced = counts("source_balanced")
    assert max(balanced.values()) - min(balanced[name] for name in ("person", "lane", "both")) <= 1
    weighted = counts({"sources": dict(zip(("person", "lane", "both"), weights, strict=True))})
    for name, weight in zip(("person", "lane", "both"), weights, strict=True):
        # A slot of n comes in its n-th of the round, so that each of the three is less than one ahead of or behind the clock.
        assert abs(weighted[name] - stop * weight / sum(weights)) < 3


def test_weights_of_sources_are_exact_in_every_round(dataset: ReleaseDataset) -> None:
    # 10 and 4 are 5 and 2; a source that is not named is left out.
    sampler = _sampler(dataset, seed=4, mix={"sources": {"person": 10, "lane": 4}})
    sources = [_source(dataset, key) for key in _take(sampler, 7 * 20)]
    for start in range(0, 140, 7):
        assert Counter(sources[start : start + 7]) == {"person": 5, "lane": 2}
    assert sampler.state_dict()["mix"] == {"sources": {"person": 5, "lane": 2}}
    in_order = _sampler(dataset, mix=SOURCES, shuffle=False)
    # Middles of fifths against middles of halves: 0.1, 0.25, 0.3, 0.5, 0.7, 0.75, 0.9.
    assert [key.index for key in _take(in_order, 9)] == [0, 14, 1, 2, 3, 15, 4, 5, 16]


def test_largest_remainder() -> None:
    assert largest_remainder([0.5, 0.3, 0.2], 8) == [4, 2, 2]  # 4.0, 2.4, 1.6
    assert largest_remainder([1, 1, 1], 8) == [3, 3, 2]
    assert largest_remainder([0.98, 0.01, 0.01], 8) == [8, 0, 0]


def test_unusable_mixes_are_refused(dataset: ReleaseDataset) -> None:
    starved = {"ratio": {"det_person": 0.98, "seg_lane": 0.01, "det_person+seg_lane": 0.01}, "global_batch_size": 8}
    with pytest.raises(ConfigError, match=r"E303.*'seg_lane' gets no slot"):
        ReleaseSampler(dataset, mix=starved)
    with pytest.raises(ConfigError, match=r"(?s)signature 'seg_lanes'.*did you mean 'seg_lane'"):
        ReleaseSampler(dataset, mix={"ratio": {"seg_lanes": 1}, "global_batch_size": 8})
    with pytest.raises(ConfigError, match=r"(?s)name 'lanes'.*did you mean 'lane'"):
        ReleaseSampler(dataset, mix={"sources": {"lanes": 1}})
    for weight in (0, -1, 1.5):
        with pytest.raises(ConfigError, match="whole number"):
            ReleaseSampler(dataset, mix={"sources": {"lane": weight}})
    for mix in ("ratio", {"sources": {}}, {"sources": {"lane": 1}, "global_batch_size": 8}):
        with pytest.raises(ConfigError, match="unusable mix"):
            ReleaseSampler(dataset, mix=mix)


def test_state_of_other_data_is_refused(dataset: ReleaseDataset) -> None:
    sampler = _sampler(dataset, seed=7)
    sampler.set_samples_consumed(40)
    state = sampler.state_dict()
    assert (state["version"], state["seed"], state["epoch"], state["samples_consumed"], state["length"]) == (1, 7, 1, 40, 31)
    other = _sampler(dataset, seed=0)
    for change in ({"digest": "0" * 64}, {"mix": MIX}, {"tasks": ["det_person"]}):
        with pytest.raises(DataReleaseError, match=r"E304.*other data"):
            other.load_state_dict(state | change)
    assert other.samples_consumed == 0
    other.load_state_dict(state | {"digest": "0" * 64}, rebase=True)
    assert (other.seed, other.samples_consumed) == (7, 40)
