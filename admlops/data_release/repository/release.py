"""Write the notes of a release: statistics, trace, and what changed since the previous tag of its family."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from admlops.data_release import names
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository.candidate import Candidate, read_refs
from admlops.data_release.repository.commit_message import parse_message
from admlops.data_release.repository.diff import diff
from admlops.data_release.repository.open_at import open_at
from admlops.data_release.repository.output_file import output_file
from admlops.data_release.repository.registry import Registry, read_registry
from admlops.data_release.repository.release_notes import ReleasedCommit, ReleaseNotes
from admlops.data_release.repository.stats import statistics_of
from admlops.data_release.repository.tag_info import TagInfo, read_tags
from admlops.data_release.repository.trace import open_hub, trace_release
from admlops.data_release.repository.trace_tree import Trace
from admlops.data_release.schema import ReleaseMeta
from admlops.data_release.training_release import TrainingRelease
from admlops.errors import ConfigError, DataReleaseError


def release(
    repo: str | Path,
    tag: str,
    *,
    previous: str | None = None,
    out: Path | None = None,
    dataspechub: str | Path | None = None,
    samples: bool = False,
) -> ReleaseNotes:
    """Write the notes of a tag. The same repository and DataSpecHub give the same bytes, whenever they are written.

    Args:
        repo: The repository.
        tag: The tag.
        previous: Tag to compare with; by default the one before it in its family.
        out: Markdown file to write; the JSON artefact is written beside it.
        dataspechub: Checkout of DataSpecHub; where None, what ``data_release.yaml`` names. Without one, the notes say so.
        samples: Compare the index files of changed entries record by record; they are fetched where they are remote.

    Returns:
        The notes.

    Raises:
        DataReleaseError: No such repository, tag (E207) or file (E201), or a file is invalid.
        ConfigError: ``out`` is where the JSON artefact would be.
        MachineError: E404, a file cannot be written.
    """
    if out is not None and out.suffix == ".json":
        raise ConfigError(
            "the notes are Markdown", expected="such as notes.md", got=out, remedy="the JSON is written beside it"
        )
    repository = GitRepository.open(repo)
    info = _tag(repository, tag)
    opened = open_at(repo, f"refs/tags/{info.name}")
    registry = read_registry(repository, info.commit)
    candidate = Candidate(repository, info.commit, info.name, None, registry, read_refs(repository), None)
    before = _tag(repository, previous).name if previous is not None else candidate.previous_tag
    found = diff(repo, f"refs/tags/{before}", f"refs/tags/{info.name}", samples=samples) if before else None
    if found is not None:
        found = replace(found, before=replace(found.before, ref=str(before)), after=replace(found.after, ref=info.name))
    followed, why_untraced = _follow(repository, opened, info, dataspechub)
    notes = ReleaseNotes(
        title=_title(info.name, opened.meta, registry),
        tag=info,
        meta=opened.meta,
        statistics=statistics_of(opened, info.name),
        previous=before,
        diff=found,
        commits=tuple(_commits(candidate, before)) if before else (),
        trace=followed,
        why_untraced=why_untraced,
    )
    return notes if out is None else _write(notes, out)


def _tag(repository: GitRepository, name: str) -> TagInfo:
    name = name.removeprefix("refs/tags/")
    repository.resolve(f"refs/tags/{name}")  # E207, with the nearest name
    return next(info for info in read_tags(repository, f"refs/tags/{name}") if info.name == name)


def _title(tag: str, meta: ReleaseMeta, registry: Registry | None) -> str:
    parts = names.split_tag(tag)
    if registry is None or parts is None or parts.task not in registry.tasks:
        return meta.release_name
    return registry.release_name(parts.task, parts.version or meta.version)


def _follow(
    repository: GitRepository, opened: TrainingRelease, info: TagInfo, folder: str | Path | None
) -> tuple[Trace | None, str]:
    try:
        return trace_release(opened, open_hub(repository, info.commit, folder), ref=info.name), ""
    except DataReleaseError as error:
        # Paths of this machine are no part of the notes.
        got = f"; got {error.got}" if error.code == "E503" else ""
        return None, f"[{error.code}] {error.what}{got}"


def _commits(candidate: Candidate, before: str) -> Iterator[ReleasedCommit]:
    start = candidate.commit_of(f"refs/tags/{before}")
    for commit in candidate.commits(f"{start}..{candidate.commit}"):
        try:
            message = parse_message(commit.message, commit.sha)
        except DataReleaseError:
            yield ReleasedCommit(commit.sha, "", "", commit.message.partition("\n")[0], "")
        else:
            yield ReleasedCommit(commit.sha, message.date, message.type, message.description, message.task_tag)


def _write(notes: ReleaseNotes, out: Path) -> ReleaseNotes:
    artefact = out.with_suffix(".json")
    content = json.dumps(notes.to_json(), indent=2, ensure_ascii=False) + "\n"
    for path, text in ((artefact, content), (out, notes.to_markdown())):
        with output_file(path) as file:
            file.write(text.encode("utf-8"))
    return replace(notes, written=(str(out), str(artefact)))
