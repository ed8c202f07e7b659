"""Versions with suffixes, ranges, lists with preferences: the rules by example, then by property."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admlops.data_release.version_constraint import ChannelVersion, VersionConstraint, newest_first
from admlops.errors import DataReleaseError

AVAILABLE = ["2.1.0", "1.5.1", "1.5.0", "1.4.0_opt", "1.3.0", "1.2.8", "1.2.0", "1.1.9"]


def rank(constraint, available=AVAILABLE):
    versions = [ChannelVersion.parse(text) for text in available]
    return [str(version) for version in VersionConstraint.parse(constraint).rank(versions)]


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("1.2.0", ["1.2.0"]),
        ("=1.2.0", ["1.2.0"]),
        ("v1.2.0", ["1.2.0"]),
        ("1.4.0", []),
        (">=1.3.0", ["2.1.0", "1.5.1", "1.5.0", "1.4.0_opt", "1.3.0"]),
        (">1.3.0", ["2.1.0", "1.5.1", "1.5.0", "1.4.0_opt"]),
        ("<=1.2.0", ["1.2.0", "1.1.9"]),
        ("<1.2.0", ["1.1.9"]),
        ("~1.2.0", ["1.2.8", "1.2.0"]),
        ("^1.2.0", ["1.5.1", "1.5.0", "1.4.0_opt", "1.3.0", "1.2.8", "1.2.0"]),
        (">=1.2.0, <1.4.0", ["1.3.0", "1.2.8", "1.2.0"]),
        ("*", AVAILABLE),
        (["1.4.0_opt", ">=1.3.0"], ["1.4.0_opt", "2.1.0", "1.5.1", "1.5.0", "1.3.0"]),
        (["9.0.0", "~1.1.0"], ["1.1.9"]),
    ],
)
def test_what_a_constraint_accepts_in_its_order(constraint, expected):
    assert rank(constraint) == expected


def test_of_two_versions_that_match_the_preferred_is_first():
    lidar = ["2.1.0_5cm_optimized", "2.1.0_5cm", "2.1.0_10cm", ">=2.1.0"]
    assert rank(lidar, ["2.2.0", "2.1.0_10cm", "2.1.0_5cm", "2.0.0"]) == ["2.1.0_5cm", "2.1.0_10cm", "2.2.0"]


def test_suffixes_are_names_and_numbers_are_compared():
    assert rank("2.1.0", ["2.1.0_5cm"]) == []
    assert rank(">=2.1.0", ["2.1.0_5cm", "2.1.0-hd"]) == ["2.1.0_5cm", "2.1.0-hd"]
    assert rank(">2.1.0", ["2.1.0_5cm"]) == []
    assert rank(">=1.10.0", ["1.9.0", "1.10.0"]) == ["1.10.0"]


@pytest.mark.parametrize(
    "constraint",
    ["", "1.2", "01.2.0", 1.2, None, [], ["1.0.0", 2], ">=1.0.0_5cm", "=>1.0.0", "1.0.0 2.0.0", "1.0.0,", "!=1.0.0", "1.0.0_"],
)
def test_what_is_no_constraint_is_refused(constraint):
    with pytest.raises(DataReleaseError, match=r"\[E506\]"):
        VersionConstraint.parse(constraint)


def test_newest_first_puts_the_plain_before_its_variants():
    versions = [ChannelVersion.parse(text) for text in ("1.9.0", "1.10.0_b", "1.10.0", "1.10.0_a")]
    assert [str(version) for version in newest_first(versions)] == ["1.10.0", "1.10.0_a", "1.10.0_b", "1.9.0"]


small = st.integers(0, 3)
numbers = st.tuples(small, small, small)
versions = st.builds(ChannelVersion, numbers, st.sampled_from(["", "_5cm", "_10cm", "-hd"]))
plain = st.builds(ChannelVersion, numbers)
terms = st.one_of(
    st.just("*"), versions.map(str), st.builds("{}{}".format, st.sampled_from([">=", ">", "<=", "<", "^", "~"]), plain)
)
ranges = st.lists(terms, min_size=1, max_size=3).map(",".join)


@settings(max_examples=60, deadline=None)
@given(versions)
def test_a_version_reads_as_it_is_written(version):
    assert ChannelVersion.parse(str(version)) == version


@settings(max_examples=60, deadline=None)
@given(st.lists(ranges, min_size=1, max_size=3), st.lists(versions, unique=True))
def test_ranking_sorts_what_is_accepted_by_the_first_range_that_accepts_it(items, available):
    constraint = VersionConstraint.parse(items)
    parts = [VersionConstraint.parse(item) for item in items]
    ranked = constraint.rank(available)
    assert set(ranked) == {version for version in available if any(part.accepts(version) for part in parts)}
    assert all(constraint.accepts(version) for version in ranked)

    def place(version):
        return next(i for i, part in enumerate(parts) if part.accepts(version)), available.index(version)

    assert list(ranked) == sorted(ranked, key=place)


@settings(max_examples=60, deadline=None)
@given(ranges, versions)
def test_a_range_holds_where_all_its_terms_do(text, version):
    terms = [VersionConstraint.parse(term) for term in text.split(",")]
    assert VersionConstraint.parse(text).accepts(version) == all(term.accepts(version) for term in terms)


@settings(max_examples=60, deadline=None)
@given(plain, versions)
def test_caret_and_tilde_are_what_they_stand_for(low, version):
    major, minor, _ = low.numbers
    for short, written in (("^", f">={low},<{major + 1}.0.0"), ("~", f">={low},<{major}.{minor + 1}.0")):
        assert VersionConstraint.parse(f"{short}{low}").accepts(version) == VersionConstraint.parse(written).accepts(version)


@settings(max_examples=60, deadline=None)
@given(plain, versions)
def test_exactly_one_of_less_and_at_least(low, version):
    assert VersionConstraint.parse(f"<{low}").accepts(version) != VersionConstraint.parse(f">={low}").accepts(version)
