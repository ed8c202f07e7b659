"""E205."""

from __future__ import annotations

from collections.abc import Iterator

from admlops.data_release.problem import shorten
from admlops.data_release.repository.candidate import Candidate
from admlops.data_release.repository.rule import Finding, rule
from admlops.data_release.repository.tag_annotation import build_annotation, parse_annotation
from admlops.errors import DataReleaseError


@rule("E205")
def annotation_equals_content(candidate: Candidate) -> Iterator[Finding]:
    """A tag is annotated, its annotation says what the dataset file holds, and its version is `meta.version`."""
    if candidate.tag is None or candidate.dataset is None:
        return
    version = candidate.tag_name.version if candidate.tag_name else None
    if version is not None and version != candidate.dataset.meta.version:
        what = f"the tag is {version}, the dataset file another version"
        path = ("meta", "version")
        got = candidate.dataset.meta.version
        yield Finding(what, version, got, "set meta.version to the tag's", path=path, severity="error in a new tag")
    if candidate.tag_object is not None:
        yield from _check_existing(candidate, candidate.tag, candidate.tag_object)


def _check_existing(candidate: Candidate, tag: str, tag_object: str) -> Iterator[Finding]:
    answer = candidate.repository.git("cat-file", "tag", tag_object)
    if answer.returncode != 0:
        remedy = "tag with `admlops data tag`"
        yield Finding("a lightweight tag", "an annotated one", "no annotation", remedy, severity="error in a new tag")
        return
    header, _, text = answer.stdout.decode("utf-8", "replace").partition("\n\n")
    named = next((row.removeprefix("tag ") for row in header.splitlines() if row.startswith("tag ")), "")
    if named != tag:
        yield Finding("the tag object was made for another tag", f"a tag object of {tag}", named, "make a tag of its own")
    try:
        annotation = parse_annotation(text, tag)
    except DataReleaseError as error:
        got, remedy = shorten(text.strip()), error.remedy or "write YAML"
        yield Finding(error.what, "YAML of the release's fields", got, remedy, severity="error in a new tag")
        return
    if candidate.dataset is None or candidate.content is None:
        return
    for name, content, says in build_annotation(tag, candidate.dataset, candidate.content).differences(annotation):
        # Tags older than hashes lack them; a field that says something else is a lie at any age.
        severity = "error in a new tag" if says is None else "error"
        remedy = "make a new tag with `admlops data tag`"
        what = f"the annotation's {name} is not the content's"
        yield Finding(what, shorten(content), shorten(says), remedy, severity=severity)  # type: ignore[arg-type]
