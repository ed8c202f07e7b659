"""Follow a release into DataSpecHub: dataset, bundle, consumer, channel, specification."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.open_at import WORKTREE, open_at
from admlops.data_release.repository.registry import REGISTRY_FILE, parse_registry, read_registry
from admlops.data_release.repository.trace_tree import (
    BundleTrace,
    ChannelTrace,
    ConsumerTrace,
    HubState,
    MissingLink,
    SpecTrace,
    Trace,
)
from admlops.data_release.schema import Kind
from admlops.data_release.spec_hub import BUNDLE_FOLDERS, SpecHub
from admlops.data_release.training_release import TrainingRelease
from admlops.data_release.version_constraint import ChannelVersion, VersionConstraint
from admlops.errors import DataReleaseError, nearest

_BUNDLE = re.compile(r"(?:(?P<name>[^/]+?)-)?(?P<version>(?P<consumer>v\d+\.\d+\.\d+)-[^/]+)", re.ASCII)
_PLAIN_NAME = re.compile(r"(?!\.)[\w.\-]+")


def trace(repo: str | Path, ref: str, *, kind: Kind = "regular", dataspechub: str | Path | None = None) -> Trace:
    """Follow a release of a repository.

    Args:
        repo: The repository.
        ref: Tag, commit, branch, or ``WORKTREE``.
        kind: Which of the two files; the other is not opened.
        dataspechub: Checkout of DataSpecHub; where None, what ``data_release.yaml`` names. Its ``rev`` counts either way.

    Returns:
        The chain, with the links that are missing.

    Raises:
        DataReleaseError: No such repository, ref (E207) or file (E201), or the file is invalid; E501, no DataSpecHub; E503, a
            bundle could be two.
    """
    release = open_at(repo, ref, kind)
    return trace_release(release, open_hub(GitRepository.open(repo), release.commit, dataspechub), ref=ref, kind=kind)


def open_hub(repository: GitRepository, commit: str | None, folder: str | Path | None = None) -> SpecHub:
    """Find the checkout of DataSpecHub that a release refers to.

    Args:
        repository: The data release repository.
        commit: Whose ``data_release.yaml`` counts; the one in the working tree where None.
        folder: The checkout, where it is not the one that ``data_release.yaml`` names.

    Returns:
        The checkout, at the revision that ``data_release.yaml`` names, else as it lies.

    Raises:
        DataReleaseError: E501, nobody said where it is, or it is not there; or ``data_release.yaml`` is invalid.
    """
    if commit is not None:
        registry = read_registry(repository, commit)
    else:
        file = repository.base_dir / REGISTRY_FILE
        registry = parse_registry(file.read_bytes(), file) if file.is_file() else None
    place = registry.dataspechub if registry else None
    rev = place.rev if place else None
    if folder is not None:
        return SpecHub.open(folder, rev)
    if place is not None and place.path is not None:
        return SpecHub.open(repository.base_dir / Path(place.path).expanduser(), rev)
    remedy = "name a checkout: --dataspechub DIR, or dataspechub: {path: DIR} in data_release.yaml"
    if place is not None:
        remedy = f"`git clone {place.url} DIR`, then --dataspechub DIR"
    raise DataReleaseError("nobody says where a checkout of DataSpecHub is", where=repository.path, remedy=remedy, code="E501")


def trace_release(release: TrainingRelease, hub: SpecHub, *, ref: str = WORKTREE, kind: Kind = "regular") -> Trace:
    """Follow an opened release.

    Args:
        release: The release.
        hub: The checkout of DataSpecHub.
        ref: What to call the release.
        kind: Which of the two files it is.

    Returns:
        The chain, with the links that are missing.

    Raises:
        DataReleaseError: E503, a bundle could be two.
    """
    meta = release.meta
    missing: list[MissingLink] = []
    bundles = []
    for version in meta.bundle_versions:
        entries = tuple(e.name for e in release.entries if version in (e.bundle_versions or meta.bundle_versions))
        bundles.append(_Bundle(hub, version, missing).follow(entries, meta.consumer))
    asked = {bundle.consumer.version for bundle in bundles if bundle.consumer}
    if asked and meta.consumer_version not in asked:
        what = f"no bundle was made for the release's consumer version {meta.consumer_version}"
        missing.append(MissingLink("E504", "dataset", what, " or ".join(sorted(asked)), required=False))
    state = HubState(str(hub.path), hub.rev, hub.dirty)
    return Trace(
        ref,
        release.commit,
        release.file_sha256,
        kind,
        meta.consumer,
        meta.consumer_version,
        state,
        tuple(bundles),
        tuple(missing),
    )


class _Bundle:
    """One bundle of a release, followed down; what is not there is appended to ``missing``."""

    def __init__(self, hub: SpecHub, version: str, missing: list[MissingLink]) -> None:
        self._hub = hub
        self._version = version
        self._missing = missing

    def follow(self, entries: tuple[str, ...], consumer: str | None) -> BundleTrace:
        match = _BUNDLE.fullmatch(self._version)
        if match is None:
            self._miss("E502", "", "not a bundle's version", "such as v1.2.0-2025.25")
            return BundleTrace(self._version, entries)
        found = self._find(match["version"], match["name"] or consumer)
        if found is None:
            return BundleTrace(self._version, entries)
        name, path = found
        content = self._read(path)
        meta = _mapping(content.get("meta"))
        for key, expected in (("bundle_name", name), ("bundle_version", match["version"])):
            if meta.get(key, expected) != expected:
                self._miss("E507", "", f"{path} says {key} {meta[key]!r}", expected)
        version = _with_v(str(meta.get("consumer_version") or match["consumer"]))
        wanted_path = self._consumer_path(name, version, meta)
        wanted = self._read(wanted_path) if wanted_path else None
        channels = tuple(self._channels(content, wanted))
        return BundleTrace(self._version, entries, path, ConsumerTrace(name, version, wanted_path), channels)

    def _find(self, version: str, name: str | None) -> tuple[str, str] | None:
        ends = f"-{version}.yaml"
        hits = [
            (stem.removesuffix(ends), path)
            for path in sorted(self._hub.files)
            for head, _, stem in [path.rpartition("/")]
            if stem.endswith(ends) and head in {f"bundles/{folder}" for folder in BUNDLE_FOLDERS}
        ]
        named = [hit for hit in hits if name in (None, hit[0])]
        if len(named) > 1:
            names = sorted({hit[0] for hit in named})
            raise DataReleaseError(
                f"bundle {self._version!r} could be any of {len(named)} files",
                where=self._hub.path,
                expected="one file",
                got=", ".join(path for _, path in named),
                remedy=f"write meta.consumer: one of {', '.join(names)}"
                if len(names) > 1
                else "delete one of them in DataSpecHub",
                code="E503",
            )
        if not named:
            others = f"; there is one of {', '.join(sorted({hit[0] for hit in hits}))}" if hits else ""
            wanted = f"bundles/{{{','.join(BUNDLE_FOLDERS)}}}/{name or '<consumer>'}{ends}"
            self._miss("E502", "", f"the bundle has no file{others}", wanted)
            return None
        return named[0]

    def _consumer_path(self, name: str, version: str, bundle_meta: dict[str, Any]) -> str | None:
        path = f"consumers/{name}/{version}.yaml"
        if path in self._hub.files:
            content = _mapping(self._read(path).get("meta"))
            if _with_v(str(content.get("version", version))) != version:
                self._miss("E507", f" > consumer {name}", f"{path} says version {content['version']!r}", version)
            return path
        # The file that the bundle was made from, which goes on to newer versions: it counts only while it has not.
        source = str(bundle_meta.get("source_consumer", ""))
        if source in self._hub.files and _with_v(str(_mapping(self._read(source).get("meta")).get("version"))) == version:
            return source
        known = [file.rpartition("/")[2][:-5] for file in self._hub.files if file.startswith(f"consumers/{name}/")]
        hint = f"; {nearest(version, known)}" if known else ""
        self._miss("E504", f" > consumer {name}", f"the consumer has no version {version}{hint}", path)
        return None

    def _channels(self, bundle: dict[str, Any], consumer: dict[str, Any] | None) -> Iterator[ChannelTrace]:
        offered, wanted = _by_channel(bundle.get("channels")), _by_channel((consumer or {}).get("requirements"))
        for channel in dict.fromkeys((*offered, *wanted)):
            offer, want = offered.get(channel), wanted.get(channel)
            at = f" > channel {channel}"
            required = str((want or offer or {}).get("required", "true")).lower() != "false"
            if consumer is not None and want is None:
                self._miss("E505", at, "in the bundle, but the consumer does not ask for it", "a requirement", required=False)
            constraint = self._constraint(at, offer, want)
            available = self._available(at, offer or {})
            ranked = constraint.rank(available) if constraint else ()
            if offer is None:
                self._miss("E505", at, "the consumer asks for it, but it is not in the bundle", "an offer", required=required)
            elif constraint and not ranked:
                got = ", ".join(map(str, available)) or "no version"
                self._miss("E506", at, f"{constraint} accepts none of {got}", "a version that is available", required=required)
            specs = tuple(self._spec(at, channel, version, required and version == ranked[0]) for version in ranked)
            shown = tuple(map(str, available))
            yield ChannelTrace(channel, str(constraint) if constraint else None, required, shown, specs)

    def _constraint(self, at: str, offer: dict[str, Any] | None, want: dict[str, Any] | None) -> VersionConstraint | None:
        sides = [
            self._parsed(at, VersionConstraint.parse, _unquoted(side[key]))
            for side, key in ((want, "version"), (offer, "source_constraint"))
            if side is not None and key in side
        ]
        if len(sides) == 2 and None not in sides and str(sides[0]) != str(sides[1]):
            what = f"the bundle was made for {sides[1]}, the consumer asks for {sides[0]}"
            self._miss("E506", at, what, "the same constraint", required=False)
        return sides[0] if sides else None

    def _available(self, at: str, offer: dict[str, Any]) -> list[ChannelVersion]:
        texts = offer.get("available_versions")
        parsed = [self._parsed(at, ChannelVersion.parse, text) for text in (texts if isinstance(texts, list) else [])]
        available = [version for version in parsed if version is not None]
        # Files that name a recommended version put it first already, all but always.
        best = str(offer.get("recommended_version", ""))
        return sorted(available, key=lambda version: str(version) != best)

    def _spec(self, at: str, channel: str, version: ChannelVersion, required: bool) -> SpecTrace:
        path = f"channels/{channel}/spec-{version}.yaml"
        if _PLAIN_NAME.fullmatch(channel) is None or not any(f.startswith(f"channels/{channel}/") for f in self._hub.files):
            self._miss("E505", at, "DataSpecHub has no such channel", path, required=required)
        elif path not in self._hub.files:
            self._miss("E505", at, f"version {version} has no specification", path, required=required)
        else:
            meta = _mapping(self._read(path).get("meta"))
            for key, expected in (("channel", channel), ("version", str(version))):
                if meta.get(key, expected) != expected:
                    self._miss("E507", at, f"{path} says {key} {meta[key]!r}", expected, required=required)
            return SpecTrace(str(version), path)
        return SpecTrace(str(version), None)

    def _parsed(self, at: str, parse: Any, value: Any) -> Any:
        try:
            return parse(value)
        except DataReleaseError as error:
            self._miss(error.code or "E506", at, f"{error.what}: {error.got}", str(error.expected))
            return None

    def _read(self, path: str) -> dict[str, Any]:
        try:
            return self._hub.read(path)
        except DataReleaseError as error:
            link = MissingLink("E507", path, error.what, str(error.expected))
            if link not in self._missing:
                self._missing.append(link)
            return {}

    def _miss(self, code: str, at: str, what: str, expected: str, required: bool = True) -> None:
        self._missing.append(MissingLink(code, f"bundle {self._version}{at}", what, expected, required))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _by_channel(rows: Any) -> dict[str, dict[str, Any]]:
    listed = rows if isinstance(rows, list) else []
    return {row["channel"]: row for row in listed if isinstance(row, dict) and isinstance(row.get("channel"), str)}


def _with_v(version: str) -> str:
    return version if version.startswith("v") else f"v{version}"


def _unquoted(constraint: Any) -> Any:
    """Bundles write a list of constraints as text: ``"['2.1.0_5cm', '>=2.0.0']"``."""
    if isinstance(constraint, str) and constraint.startswith("["):
        try:
            return yaml.load(constraint, Loader=yaml.BaseLoader)
        except yaml.YAMLError:
            return constraint
    return constraint
