"""A bare remote with a trunk and two task branches, and clones of it; entries are pinned, so that they can be tagged."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from admlops.errors import AdmlopsError, DataReleaseError

BUNDLE = "v1.2.0-20251017-100000"
REGISTRY = """\
# who releases what
schema_version: 1
tasks:
  multi_task:  # joint training
    display_name: MultiTask
    allowed_tags: [god_base, drivable]
  god_base:
    display_name: GOD-Base
# where the specifications are
dataspechub: {path: ../DataSpecHub}
"""


def git(folder: Path, *arguments: str, check: bool = True, **environ: str) -> str:
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **environ}
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert not check or done.returncode == 0, (arguments, done.stderr)
    return done.stdout.strip()


def entry(name: str, tags: list[str] | None = None, samples: int = 10, duplicate: int = 1, **more: Any) -> dict[str, Any]:
    tagged = {} if tags is None else {"task_tags": tags}
    integrity = {"sha256": "a" * 64, "bytes": 100, "num_samples": samples}
    path = f"obs://data/{name}.jsonl"
    return {"name": name, "obs_path": path, "duplicate": duplicate, **tagged, "integrity": integrity, **more}


def release(entries: list[dict[str, Any]], tasks: list[str], version: str = "v1.0.0", **meta: Any) -> dict[str, Any]:
    fixed = {"release_name": f"GOD-Base {version}", "consumer_version": "v1.2.0", "bundle_versions": [BUNDLE]}
    return {"meta": {**fixed, "version": version, "tasks": tasks, **meta}, "dataset_index": entries}


def commit(folder: Path, files: dict[str, Any], description: str = "change the data") -> str:
    """Commit files on what is checked out; gives the sha."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
        git(folder, "add", "--", name)
    message = f'add: {description}\n\ndate: "2025-10-20"\ntype: "add"\ndescription: "{description}"\ntask_tag: ""\n'
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def clone(remote: Path, folder: Path, person: str = "Ada") -> Path:
    git(remote, "clone", "-q", str(remote), str(folder))
    git(folder, "config", "user.name", person)
    git(folder, "config", "user.email", f"{person.lower()}@example.com")
    return folder


def read(folder: Path, ref: str, name: str = "training_dataset.json") -> Any:
    return json.loads(git(folder, "show", f"{ref}:{name}"))


def refs(folder: Path) -> set[str]:
    """Every ref but the branches of remotes and the memory of tags that were read."""
    found = git(folder, "for-each-ref", "--format=%(refname)").split()
    return {ref for ref in found if not ref.startswith(("refs/remotes/", "refs/admlops/seen/"))}


def raises(code: str, match: str = "", error: type[AdmlopsError] = DataReleaseError) -> Any:
    return pytest.raises(error, match=rf"(?s)\[{code}\].*{match}")


def hook(folder: Path, name: str, script: str) -> None:
    bare = (folder / "hooks").is_dir()
    path = (folder if bare else folder / ".git") / "hooks" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def switch(folder: Path, branch: str) -> None:
    git(folder, "switch", "-q", branch)


def make_remote(folder: Path) -> Path:
    """``main`` with the registry; ``master/god_base``, ``master/multi_task`` with a release each."""
    remote = folder / "remote.git"
    git(folder, "init", "-q", "--bare", "-b", "main", str(remote))
    first = folder / "first"
    git(folder, "init", "-q", "-b", "main", str(first))
    git(first, "config", "user.name", "Seed")
    git(first, "config", "user.email", "seed@example.com")
    commit(first, {"data_release.yaml": REGISTRY}, "register")
    god = release([entry("highway", ["god_base"], 100, 5), entry("urban", ["god_base"], 20)], ["god_base"])
    both = release(
        [entry("highway", ["god_base"], 100), entry("joint", ["god_base", "drivable"], 30, 3)], ["god_base", "drivable"]
    )
    for task, document in {"god_base": god, "multi_task": both}.items():
        git(first, "switch", "-q", "-c", f"master/{task}", "main")
        commit(first, {"training_dataset.json": document}, f"first data of {task}")
    git(first, "push", "-q", str(remote), "main", "master/god_base", "master/multi_task")
    return remote
