"""Files that make everybody, and the server, keep the rules: hooks, CI snippets, a pre-receive sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from admlops.data_release.git_repository import GitRepository
from admlops.data_release.repository import ci_files
from admlops.errors import DataReleaseError

HOOKS_FOLDER = ".githooks"

PRE_RECEIVE_FILE = f"{HOOKS_FOLDER}/server/pre-receive"
GITLAB_FILE = ".gitlab/data_release.gitlab-ci.yml"

_FILES = {
    f"{HOOKS_FOLDER}/commit-msg": ci_files.COMMIT_MSG,
    f"{HOOKS_FOLDER}/pre-push": ci_files.PRE_PUSH,
    PRE_RECEIVE_FILE: ci_files.PRE_RECEIVE,
    ".github/workflows/data_release.yml": ci_files.GITHUB,
    GITLAB_FILE: ci_files.GITLAB,
}


@dataclass(frozen=True)
class CiOutcome:
    """What was written.

    Attributes:
        written: Paths of new files.
        unchanged: Paths of files that were there, the same.
        kept: Paths of files that were there with other content, and were left alone.
        hooks_path: Where git looks for hooks here.
    """

    written: tuple[str, ...]
    unchanged: tuple[str, ...]
    kept: tuple[str, ...]
    hooks_path: str

    @property
    def ok(self) -> bool:
        """Whether every file is as it should be."""
        return not self.kept

    def to_json(self) -> dict[str, Any]:
        """Give JSON values."""
        lists = {"written": list(self.written), "unchanged": list(self.unchanged), "kept": list(self.kept)}
        return {**lists, "hooks_path": self.hooks_path}

    def to_text(self) -> str:
        """Lay it out for a terminal."""
        rows = [f"  written    {path}" for path in self.written] + [f"  unchanged  {path}" for path in self.unchanged]
        rows += [f"  kept       {path}  (differs; --overwrite replaces it)" for path in self.kept]
        return "\n".join(
            [
                *rows,
                f"  hooks      git looks for them in {self.hooks_path}",
                "then: commit them; every clone runs `git config core.hooksPath .githooks` once",
                f"      copy {PRE_RECEIVE_FILE} to hooks/pre-receive of the bare repository on the server",
                f"      GitLab: include {GITLAB_FILE} in .gitlab-ci.yml; GitHub: protect master/** and the tags",
            ]
        )


def write_ci(repo: str | Path, *, overwrite: bool = False) -> CiOutcome:
    """Write the hooks and snippets into the working tree, and let git use the hooks.

    Args:
        repo: The repository.
        overwrite: Replace files that have other content.

    Returns:
        What was written.

    Raises:
        DataReleaseError: The repository is bare.
    """
    repository = GitRepository.open(repo)
    if not (repository.path / ".git").exists():
        raise DataReleaseError("a bare repository has no working tree", where=repository.path, remedy="run it in a clone")
    written: list[str] = []
    unchanged: list[str] = []
    kept: list[str] = []
    for path, content in _FILES.items():
        file = repository.path / path
        present = file.read_text("utf-8", "replace") if file.is_file() else None
        if present is not None and present != content and not overwrite:
            kept.append(path)
            continue
        (unchanged if present == content else written).append(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8")
        file.chmod(0o755 if path.startswith(HOOKS_FOLDER) else 0o644)
    if not hooks_path(repository):
        repository.run("config", "core.hooksPath", HOOKS_FOLDER)
    return CiOutcome(tuple(written), tuple(unchanged), tuple(kept), hooks_path(repository))


def hooks_path(repository: GitRepository) -> str:
    """Say where git was told to look for hooks; empty where it was told nothing."""
    return repository.git("config", "core.hooksPath").stdout.decode("utf-8", "replace").strip()
