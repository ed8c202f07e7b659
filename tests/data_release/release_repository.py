"""A tiny release repository: a trunk with a registry, master/god with one tracked index file; tests break it in one place."""

import json
from pathlib import Path
from typing import Any

from git_commands import commit_all, git
from release_files import BUNDLE, write_jsonl

from admlops.data_release.dataset_file import read_dataset_file
from admlops.data_release.repository.tag_annotation import build_annotation

REGISTRY = """\
schema_version: 1
tasks:
  god: {display_name: GOD-Base}
  hd: {display_name: GOD-HD}
"""
MESSAGE = 'add: {0}\n\ndate: "2025-10-17"\ntype: add\ndescription: {0}\n'


def dataset(version: str = "v1.0.0", *tasks: str) -> dict[str, Any]:
    tags = list(tasks or ("god",))
    meta = {"release_name": "R", "consumer_version": "v1.2.0", "bundle_versions": [BUNDLE], "version": version, "tasks": tags}
    return {"meta": meta, "dataset_index": [{"name": "a", "obs_path": "a.jsonl", "task_tags": tags}]}


def make_repository(root: Path) -> Path:
    root.mkdir()
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@t")
    (root / "data_release.yaml").write_text(REGISTRY)
    commit_all(root, "trunk")
    git(root, "switch", "-q", "-c", "master/god")
    write_jsonl(root / "a.jsonl", ["s0", "s1"])
    release(root, dataset())
    return root


def release(root: Path, document: dict[str, Any], message: str = "data") -> str:
    (root / "training_dataset.json").write_text(json.dumps(document, indent=1, ensure_ascii=False))
    return commit_all(root, MESSAGE.format(message))


def annotation(root: Path, tag: str) -> str:
    content = (root / "training_dataset.json").read_bytes()
    return build_annotation(tag, read_dataset_file(content, "f"), content).to_text()


def make_tag(root: Path, tag: str, text: str | None = None) -> str:
    git(root, "tag", "-a", tag, "-m", annotation(root, tag) if text is None else text)
    return git(root, "rev-parse", f"refs/tags/{tag}")
