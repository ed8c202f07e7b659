"""Where a release comes from: dataset, bundle, consumer, channel, specification; and which links are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from admlops.data_release.schema import Kind


@dataclass(frozen=True)
class MissingLink:
    """A link that is not there, or that says something else than its neighbours.

    Attributes:
        code: ``E502`` bundle, ``E504`` consumer, ``E505`` channel or specification, ``E506`` version, ``E507`` unreadable.
        where: The chain down to it.
        what: What is missing.
        expected: What would be there.
        required: Whether the chain is broken; else it is an alternative, something optional, or only worth knowing.
    """

    code: str
    where: str
    what: str
    expected: str
    required: bool = True

    def __str__(self) -> str:
        note = "" if self.required else ", a note"
        return f"[{self.code}{note}] {self.where}: {self.what}; expected {self.expected}"


@dataclass(frozen=True)
class SpecTrace:
    """A version of a channel.

    Attributes:
        version: Such as ``1.2.0``.
        path: Its specification in DataSpecHub; None where there is none.
    """

    version: str
    path: str | None


@dataclass(frozen=True)
class ChannelTrace:
    """A channel of a bundle.

    Attributes:
        channel: Its name.
        constraint: What the consumer asks for; None where it does not, or nobody can read it.
        required: Whether the consumer cannot do without.
        available: Versions of the bundle, the recommended first.
        specs: Of those the ones that the consumer accepts, the preferred first: that is the version of the data.
    """

    channel: str
    constraint: str | None
    required: bool
    available: tuple[str, ...]
    specs: tuple[SpecTrace, ...]


@dataclass(frozen=True)
class ConsumerTrace:
    """Who asked for a bundle.

    Attributes:
        name: Of its folder.
        version: Such as ``v1.2.0``.
        path: Its file; None where there is none.
    """

    name: str
    version: str
    path: str | None


@dataclass(frozen=True)
class BundleTrace:
    """A bundle of a release.

    Attributes:
        version: As the release names it.
        entries: Names of the entries that come from it.
        path: Its file; None where there is none.
        consumer: Who asked for it; None where the bundle has no file.
        channels: What it holds.
    """

    version: str
    entries: tuple[str, ...]
    path: str | None = None
    consumer: ConsumerTrace | None = None
    channels: tuple[ChannelTrace, ...] = ()


@dataclass(frozen=True)
class HubState:
    """The checkout that was read.

    Attributes:
        path: Its folder.
        rev: Full sha; None where it is under no version control.
        dirty: Whether it had changes that ``rev`` does not have.
    """

    path: str
    rev: str | None
    dirty: bool


@dataclass(frozen=True)
class Trace:
    """Where a release comes from.

    Attributes:
        ref: Of the release, as it was given.
        commit: Full sha; None for a working tree or a folder.
        file_sha256: Hash of the dataset file.
        kind: Which of the two files.
        consumer: ``meta.consumer``.
        consumer_version: ``meta.consumer_version``.
        hub: The checkout of DataSpecHub.
        bundles: In the order of ``meta.bundle_versions``.
        missing: Links that are not there.
    """

    ref: str
    commit: str | None
    file_sha256: str
    kind: Kind
    consumer: str | None
    consumer_version: str
    hub: HubState
    bundles: tuple[BundleTrace, ...]
    missing: tuple[MissingLink, ...]

    @property
    def ok(self) -> bool:
        """Whether the chain is whole."""
        return not any(link.required for link in self.missing)

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"ok": self.ok, **asdict(self)}

    def to_text(self) -> str:
        """Draw it as a tree."""
        commit = self.commit[:12] if self.commit else "as it lies"
        head = f"{self.ref} ({commit}), consumer {self.consumer or 'version'} {self.consumer_version}"
        hub = f"DataSpecHub {self.hub.path} at {describe_hub(self.hub)}"
        return "\n".join([head, hub, *self.tree(), *(f"  {link}" for link in self.missing)])

    def tree(self) -> list[str]:
        """Draw the chain, and count what is missing in it; nothing of this machine is in it.

        Returns:
            Lines.
        """
        broken = sum(link.required for link in self.missing)
        end = f"{broken} missing, {len(self.missing) - broken} noted" if self.missing else "no link is missing"
        return [*_branches([(_bundle(bundle), _consumer(bundle)) for bundle in self.bundles]), end]


def describe_hub(hub: HubState) -> str:
    """Say which state of DataSpecHub was read.

    Args:
        hub: The checkout.

    Returns:
        Its revision, and whether it had changes.
    """
    return (hub.rev[:12] if hub.rev else "no revision") + (" with uncommitted changes" if hub.dirty else "")


Node = tuple[str, Sequence[Any]]


def _branches(nodes: Sequence[Node], indent: str = "") -> Iterator[str]:
    for number, (label, children) in enumerate(nodes):
        last = number == len(nodes) - 1
        yield f"{indent}{'└── ' if last else '├── '}{label}"
        yield from _branches(children, indent + ("    " if last else "│   "))


def _bundle(bundle: BundleTrace) -> str:
    count = len(bundle.entries)
    return f"bundle {bundle.version} ({count} {'entry' if count == 1 else 'entries'})  {bundle.path or 'MISSING'}"


def _consumer(bundle: BundleTrace) -> list[Node]:
    if bundle.consumer is None:
        return []
    consumer = bundle.consumer
    label = f"consumer {consumer.name} {consumer.version}  {consumer.path or 'MISSING'}"
    return [(label, [_channel(channel) for channel in bundle.channels])]


def _channel(channel: ChannelTrace) -> Node:
    asked = "not asked for" if channel.constraint is None else channel.constraint
    optional = "" if channel.required else ", optional"
    none = f"no version of {', '.join(channel.available)}" if channel.available else "not in the bundle"
    label = f"channel {channel.channel}  {asked}{optional}" + ("" if channel.specs else f"  {none}")
    return label, [(f"{spec.version}  {spec.path or 'MISSING'}", []) for spec in channel.specs]
