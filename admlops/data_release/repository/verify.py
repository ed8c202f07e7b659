"""Whether what made a checkpoint is still to be had: code, tag, files, parents, config, one line each."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from admlops.data_release.cache import sha256_of
from admlops.data_release.code_state import PACKAGE_DIR, read_code_state
from admlops.data_release.config_hash import config_sha256
from admlops.data_release.dataset_file import read_dataset_file
from admlops.data_release.git_repository import GitRepository
from admlops.data_release.lineage import FOLDER, SUFFIX, TAG, describe_trace, lineage_path
from admlops.data_release.locate import Origin, locate
from admlops.data_release.schema import FILE_OF_KIND
from admlops.data_release.text_table import text_table
from admlops.data_release.training_release import open_release
from admlops.errors import AdmlopsError, DataReleaseError
from admlops.project import find_in_project

MATCHES, DIFFERS, UNKNOWN = "matches", "differs", "unknown"


@dataclass(frozen=True)
class Check:
    """One thing that a lineage records.

    Attributes:
        subject: Such as ``data tag multi_task/v1.0.0``.
        status: ``matches``, ``differs``, or ``unknown`` where it cannot be checked here.
        detail: The value that matches; or what was recorded and what is there now; or why nobody can tell, and what to do.
    """

    subject: str
    status: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What still matches.

    Attributes:
        where: The checkpoint, or the lineage that was given.
        checks: One a thing that was recorded.
    """

    where: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing differs."""
        return not any(check.status == DIFFERS for check in self.checks)

    @property
    def reachable(self) -> bool:
        """Whether everything could be checked here."""
        return not any(check.status == UNKNOWN for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        return {"where": self.where, "ok": self.ok, "reachable": self.reachable, "checks": [asdict(c) for c in self.checks]}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        rows = [(check.status, check.subject, check.detail) for check in self.checks]
        counts = [sum(check.status == status for check in self.checks) for status in (MATCHES, DIFFERS, UNKNOWN)]
        last = f"{counts[0]} match, {counts[1]} differ, {counts[2]} cannot be checked here"
        return "\n".join([self.where, text_table(("status", "what", "detail"), rows, indent="  "), last])


def read_lineage_file(path: str | Path) -> dict[str, Any]:
    """Read ``<checkpoint>.lineage.json``.

    Args:
        path: The file.

    Returns:
        The document, with ``checkpoint``: name, hash and size of what it describes.

    Raises:
        DataReleaseError: Not such a file.
    """
    try:
        document = json.loads(Path(path).read_bytes())
        if not (isinstance(document["checkpoint"]["sha256"], str) and isinstance(document["parents"], list)):
            raise TypeError("the hash is no text, or the parents are no list")
    except (ValueError, KeyError, TypeError) as error:
        raise DataReleaseError("not a lineage", where=path, expected=f"<checkpoint>{SUFFIX}", got=error) from error
    return dict(document)


def verify(
    path: str | Path,
    *,
    inside: Mapping[str, Any] | None = None,
    config_text: str | None = None,
    repo: str | Path | None = None,
    code: str | Path | None = None,
) -> Verification:
    """Resolve again what a lineage records.

    Args:
        path: The checkpoint, or the ``.lineage.json`` beside it.
        inside: The lineage inside the checkpoint, where that was read; it goes before the file beside it.
        config_text: The config inside the checkpoint.
        repo: The data release repository, or the folder of a release without one; by default where the config said.
        code: The code repository; by default the one that this package comes from.

    Returns:
        What still matches.

    Raises:
        DataReleaseError: There is no lineage.
    """
    path = Path(path)
    checkpoint = path.with_name(path.name.removesuffix(SUFFIX))
    beside = read_lineage_file(lineage_path(checkpoint)) if lineage_path(checkpoint).is_file() else None
    document = inside or beside
    if document is None:
        raise DataReleaseError(
            "the file has no lineage",
            where=path,
            expected=f"a checkpoint of this project's training, or <checkpoint>{SUFFIX}",
            remedy="nothing says what it was made of; a checkpoint trained from now on will",
        )
    checks = [*_of_file(checkpoint, inside, beside), *_of_code(document, code)]
    data = document["data"]
    if "absent" not in data:
        checks += _of_data(data, repo)
    checks += _of_parents(document["parents"], checkpoint.parent, document["resumed_from"])
    checks += _of_config(document.get("config") or {}, config_text, checkpoint.parent)
    return Verification(str(path), tuple(checks))


def _compare(subject: str, recorded: str, found: str, what: str = "sha256") -> Check:
    if recorded == found:
        return Check(subject, MATCHES, f"{what} {found[:12]}")
    return Check(subject, DIFFERS, f"recorded {what} {recorded[:12]}, now {found[:12]}")


def _of_file(file: Path, inside: Mapping[str, Any] | None, beside: Mapping[str, Any] | None) -> Iterator[Check]:
    if beside is None:
        return
    if file.is_file():
        yield _compare("checkpoint", beside["checkpoint"]["sha256"], sha256_of(file))
    if inside is not None:
        same = json.dumps({**beside, "checkpoint": None}, sort_keys=True) == json.dumps(
            {**inside, "checkpoint": None}, sort_keys=True
        )
        detail = "says the same as the checkpoint itself" if same else "is not what the checkpoint itself says"
        yield Check(lineage_path(file).name, MATCHES if same else DIFFERS, detail)


def _of_code(document: Mapping[str, Any], folder: str | Path | None) -> Iterator[Check]:
    recorded = document["code"]
    present = read_code_state(Path(folder) if folder is not None else PACKAGE_DIR)
    commit = recorded["commit"]
    if commit is None:
        same = recorded["version"] == present.version
        detail = f"admlops {recorded['version']} ({recorded['why_unknown']})"
        yield Check("code", MATCHES if same and folder is None else UNKNOWN, detail)
        return
    yield _commit_present("code commit", commit, folder)
    if recorded["dirty"]:
        same = (present.commit, present.diff_sha256) == (commit, recorded["diff_sha256"])
        detail = f"changes {recorded['diff_sha256'][:12]} on top of the commit"
        here = "lie here" if same else "that no commit holds: this code cannot be had again"
        yield Check("uncommitted code", MATCHES if same else UNKNOWN, f"{detail} {here}")
    for stop in document["resumed_from"]:
        before = stop.get("code") or {}
        if before.get("commit") not in {None, commit}:
            yield _commit_present(f"code until iteration {stop['iteration']}", before["commit"], folder)


def _commit_present(subject: str, commit: str, folder: str | Path | None) -> Check:
    try:
        repository = GitRepository.open(folder if folder is not None else PACKAGE_DIR)
    except AdmlopsError as error:
        return Check(subject, UNKNOWN, f"{commit[:12]}: {error.what}; name the code repository with --code")
    if _has_commit(repository, commit):
        return Check(subject, MATCHES, f"commit {commit[:12]}")
    return Check(subject, UNKNOWN, f"{commit[:12]} is not in {repository.path}; git fetch, or name another with --code")


def _has_commit(repository: GitRepository, commit: str) -> bool:
    return repository.git("cat-file", "-e", f"{commit}^{{commit}}").returncode == 0


def _of_data(data: Mapping[str, Any], repo: str | Path | None) -> Iterator[Check]:
    place = Path(repo) if repo is not None else find_in_project(data["location"])
    if data["ref_kind"] == FOLDER:
        yield from _of_content(data, Origin(place.absolute()))
        return
    try:
        repository = GitRepository.open(place)
    except AdmlopsError as error:
        yield Check(f"data {data['ref']}", UNKNOWN, f"{error.what}: {place}; name the data repository with --repo")
        return
    if data["ref_kind"] == TAG:
        yield _of_tag(data, repository)
    if not _has_commit(repository, data["commit"]):
        detail = f"{data['commit'][:12]} is not in {repository.path}; git fetch, or name another with --repo"
        yield Check("data commit", UNKNOWN, detail)
        return
    yield Check("data commit", MATCHES, f"commit {data['commit'][:12]}")
    yield from _of_content(data, Origin(repository.base_dir, repository, data["commit"]))
    if "absent" not in data["trace"]:
        yield _of_trace(data, repository)


def _of_tag(data: Mapping[str, Any], repository: GitRepository) -> Check:
    ref = f"refs/tags/{data['ref']}"
    subject = f"data tag {data['ref']}"
    found = repository.git("rev-parse", "--verify", "--quiet", ref).stdout.decode("ascii").strip()
    if not found:
        return Check(subject, UNKNOWN, f"{repository.path} has no such tag (deleted, or `git fetch --tags` brings it)")
    if found == data["tag_object"]:
        return Check(subject, MATCHES, f"tag object {found[:12]}")
    commit = repository.git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").stdout.decode("ascii").strip()
    done = (
        "made again on the same commit"
        if commit == data["commit"]
        else f"moved from commit {data['commit'][:12]} to {commit[:12]}"
    )
    return Check(subject, DIFFERS, f"{done}: recorded tag object {data['tag_object'][:12]}, now {found[:12]}")


def _of_trace(data: Mapping[str, Any], repository: GitRepository) -> Check:
    found = describe_trace(open_release(repo=repository.path, ref=data["commit"], kind=data["kind"]))
    if "absent" in found:
        return Check("trace", UNKNOWN, found["absent"])
    recorded, now = ({**trace, "ref": None} for trace in (data["trace"], json.loads(json.dumps(found))))
    if recorded == now:
        return Check("trace", MATCHES, f"{len(now['bundles'])} bundles down to their specifications")
    differing = ", ".join(sorted(key for key in recorded.keys() | now.keys() if recorded.get(key) != now.get(key)))
    return Check("trace", DIFFERS, f"DataSpecHub leads elsewhere now: {differing}; see `admlops data trace`")


def _of_content(data: Mapping[str, Any], origin: Origin) -> Iterator[Check]:
    name = FILE_OF_KIND["dagger" if data["kind"] == "dagger" else "regular"]
    if origin.repository is not None and origin.commit is not None:
        content = origin.repository.read(origin.commit, name)
    else:
        file = origin.base_dir / name
        content = file.read_bytes() if file.is_file() else None
    if content is None:
        yield Check(name, UNKNOWN, f"there is none in {origin.base_dir}; name the place with --repo")
        return
    yield _compare(name, data["file_sha256"], hashlib.sha256(content).hexdigest())
    try:
        present = {entry.name: entry for entry in read_dataset_file(content, name, kind=data["kind"]).dataset_index}
    except AdmlopsError as error:
        yield Check("entries", DIFFERS, error.what)
        return
    # The lines that the run left out must not stop the file from being compared.
    max_bad = data["selection"].get("num_quarantined", 0)
    for recorded in data["entries"]:
        if recorded["sha256"] is None:
            continue
        subject = f"entry {recorded['name']}"
        entry = present.get(recorded["name"])
        if entry is None:
            yield Check(subject, DIFFERS, f"{name} has no such entry any more")
            continue
        try:
            yield _compare(subject, recorded["sha256"], sha256_of(locate(entry, origin, max_bad).path))
        except (AdmlopsError, OSError) as error:
            code, what = getattr(error, "code", None), getattr(error, "what", error)
            # E402: the object is there and is another one than the release pins.
            detail = f"{what}: expected {error.expected}, got {error.got}" if isinstance(error, AdmlopsError) else str(what)
            yield Check(subject, DIFFERS if code == "E402" else UNKNOWN, detail)


def _of_parents(parents: list[Any], folder: Path, resumed_from: list[Any], of: str = "parent") -> Iterator[Check]:
    for parent in parents:
        subject = f"{of} {Path(parent['file']).name}"
        if parent["sha256"] is None:
            yield Check(subject, UNKNOWN, f"it came from {parent['file']}, and nobody hashed it")
            continue
        # A parent may have been brought along instead of staying where it was.
        places = [Path(os.path.normpath(folder / parent["file"])), folder / Path(parent["file"]).name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            yield Check(
                subject, UNKNOWN, f"sha256 {parent['sha256'][:12]}: it is neither {places[0]} nor beside the checkpoint"
            )
        else:
            yield _compare(subject, parent["sha256"], sha256_of(found))
        yield from _of_parents(parent["parents"], places[0].parent, [], f"parent of {Path(parent['file']).name}:")


def _of_config(recorded: Mapping[str, Any], text: str | None, folder: Path) -> Iterator[Check]:
    if recorded.get("sha256") is None:
        return
    if text is not None:
        yield _config_check("config in the checkpoint", recorded["sha256"], text)
    # A later step of a training dumps its config beside that of the first, under another name.
    dumped = folder / (recorded.get("dumped") or Path(recorded["file"] or "").name)
    if dumped.is_file():
        yield _config_check(f"config {dumped.name}", recorded["sha256"], dumped.read_text(encoding="utf-8"))
    elif text is None:
        yield Check("config", UNKNOWN, f"there is no {dumped}")


def _config_check(subject: str, recorded: str, text: str) -> Check:
    try:
        return _compare(subject, recorded, config_sha256(text))
    except (SyntaxError, ValueError) as error:
        return Check(subject, DIFFERS, f"no dumped config any more: {error}")
