"""Refuse a run that nobody could prove afterwards, before it writes anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from admlops.data_release import open_release
from admlops.data_release.code_state import CodeState, read_code_state
from admlops.data_release.lineage import TAG, describe_ref, unpinned_entries
from admlops.errors import ConfigError
from admlops.project import find_in_project


def require_clean(cfg: Config) -> None:
    """Check that code and data of a run can be had again by their names.

    Args:
        cfg: Its config; the data that it trains on and validates with count, without training those that it tests on.

    Raises:
        ConfigError: Uncommitted code, a release that was not read from a tag, or entries whose content nothing pins; all of
            them at once.
        DataReleaseError: A release cannot be opened.
    """
    reasons = list(_of_code(read_code_state()))
    trains = cfg.get("train_cfg") is not None
    for name in ("train_dataloader", "val_dataloader") if trains else ("val_dataloader", "test_dataloader"):
        loader = cfg.get(name)
        if loader is not None:
            reasons += [f"{name}: {reason}" for reason in _of_loader(loader)]
    if reasons:
        raise ConfigError(
            "this run could not be proved afterwards, and require_clean is set",
            where=cfg.filename,
            expected="committed code, and data of tags whose entries are pinned",
            got="; ".join(reasons),
            remedy="commit, tag and pin (`admlops data lock`), or leave require_clean away for a trial",
        )


def find_data_releases(node: Any) -> Iterator[Mapping[str, Any]]:
    """Find what a part of a config names as its data release, however deep.

    Args:
        node: Such as a data loader's config.

    Yields:
        Each ``data_release``.
    """
    if isinstance(node, Mapping):
        for key, item in node.items():
            if key == "data_release" and isinstance(item, Mapping):
                yield item
            else:
                yield from find_data_releases(item)
    elif isinstance(node, (list, tuple)):
        for item in node:
            yield from find_data_releases(item)


def _of_code(code: CodeState) -> Iterator[str]:
    if code.commit is None:
        yield f"the code has no commit ({code.why_unknown})"
    elif code.dirty:
        yield f"the code differs from its commit {code.commit[:12]}"


def _of_loader(loader: Mapping[str, Any]) -> Iterator[str]:
    places = list(find_data_releases(loader))
    if not places:
        yield "it reads no data release"
    for place in places:
        arguments = {key: value for key, value in place.items() if key in {"root", "repo", "ref", "kind"}}
        for key in {"root", "repo"} & arguments.keys():
            arguments[key] = find_in_project(arguments[key])
        release = open_release(**arguments)
        kind = describe_ref(release)["ref_kind"]
        if kind != TAG:
            yield f"{arguments.get('ref') or arguments['root']} is a {kind}, no tag"
        unpinned = unpinned_entries(release)
        if unpinned:
            named = ", ".join(unpinned[:3]) + (", ..." if len(unpinned) > 3 else "")
            yield f"nothing pins the content of {len(unpinned)} entries ({named})"
