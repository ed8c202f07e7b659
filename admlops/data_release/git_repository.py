"""Read a data release repository at a fixed commit, through the ``git`` command; its working tree is never looked at."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from admlops.data_release.cache import cache_root, write_atomically
from admlops.errors import DataReleaseError, MachineError, nearest

# What `git rev-parse` would calculate with: a ref here is a name, so that v1.0.0~1 is no release.
_ARITHMETIC = re.compile(r"[\^~:?*\[\\\s\x00-\x1f\x7f]|\.\.|@\{|^-|^$")
_SHA = re.compile(r"[0-9a-f]{7,64}")
SEEN_TAGS = "refs/admlops/seen/"
"""Where the objects of tags that were read are remembered."""

_BLOB_MODES = {"100644", "100755"}


@dataclass(frozen=True)
class GitRepository:
    """A repository on this machine.

    Attributes:
        path: Its folder, bare or with a working tree.
        base_dir: What relative paths in it refer to: the top of its working tree, or the folder of a bare repository.
        objects: Variables that tell git where objects lie beside the repository's own; empty for nowhere else.
    """

    path: Path
    base_dir: Path
    objects: tuple[tuple[str, str], ...] = ()

    @classmethod
    def open(cls, path: str | Path) -> GitRepository:
        """Find a repository.

        Args:
            path: Its folder.

        Returns:
            The repository.

        Raises:
            DataReleaseError: No repository lies there.
            MachineError: There is no ``git``.
        """
        folder = Path(path).expanduser().absolute()
        if not folder.is_dir():
            raise DataReleaseError("no such data release repository", where=folder, remedy="clone it, or correct repo=")
        # One process: a bare repository answers the first two questions and fails at the third.
        answer = _git(folder, "rev-parse", "--is-bare-repository", "--absolute-git-dir", "--show-toplevel")
        rows = answer.stdout.decode("utf-8", "surrogateescape").splitlines()
        if len(rows) == 3:
            return cls(Path(rows[2]), Path(rows[2]))
        if rows[:1] == ["true"]:
            return cls(Path(rows[1]), Path(rows[1]))
        raise DataReleaseError(
            "not a git repository",
            where=folder,
            expected="the folder of a data release repository",
            got=answer.stderr.decode("utf-8", "replace").strip(),
            remedy="correct repo=, or read a plain folder with root=",
        )

    def resolve(self, ref: str) -> str:
        """Find the commit that a ref names: a tag, else a commit's sha, else a branch.

        A tag wins over a branch of the same name, which plain ``git rev-parse`` leaves open. The object of a tag is remembered
        under ``refs/admlops/seen/``, which also keeps git from deleting it: a tag never stands for something else later.

        Args:
            ref: ``multi_task/v1.0.0``, at least 7 digits of a sha, or ``master/multi_task``.

        Returns:
            The full sha.

        Raises:
            DataReleaseError: E207, nothing has this name, or the tag is not the object that it was.
        """
        hidden = ""
        if not _ARITHMETIC.search(ref):
            name = ref.removeprefix("refs/tags/").removeprefix("refs/heads/")
            seen_ref = f"{SEEN_TAGS}{name}"
            spellings = [f"refs/tags/{name}", seen_ref, f"refs/tags/{name}^{{commit}}"]
            spellings += [f"{name}^{{commit}}"] if _SHA.fullmatch(name) else []
            spellings += [f"refs/heads/{name}^{{commit}}"] if not ref.startswith("refs/tags/") else []
            tag, seen, *commits = self._shas(spellings)
            if ref.startswith("refs/heads/"):
                commits[0] = None
            elif commits[0] is not None and tag is not None:
                self._remember(seen_ref, tag, seen)
            elif seen is not None:
                hidden = f"; a tag of this name was read here before: {seen}"
            for commit in commits:
                if commit is not None:
                    return commit
        known = self.refs()
        remedy = nearest(ref, known) if known else "the repository has no tags and no branches yet"
        raise DataReleaseError(
            f"the data release repository has no {ref!r}",
            where=self.path,
            expected="a tag such as multi_task/v1.0.0, a commit, or a branch",
            got=f"{ref!r}{hidden}",
            remedy=f"{remedy}; `git fetch --tags` brings new ones",
            code="E207",
        )

    def _shas(self, names: Sequence[str]) -> list[str | None]:
        # One process for all names; a line is `sha kind size`, or ends with why there is none.
        rows = self.run("cat-file", "--batch-check=%(objectname)", input="".join(f"{name}\n" for name in names).encode())
        return [row if _SHA.fullmatch(row) else None for row in rows.split("\n")]

    def _remember(self, seen_ref: str, tag: str, seen: str | None) -> None:
        if seen is None:
            # Of several processes one writes it; a repository that nobody may write to is read all the same.
            self.git("update-ref", seen_ref, tag, "0" * len(tag))
        elif seen != tag:
            name = seen_ref.removeprefix(SEEN_TAGS)
            raise DataReleaseError(
                f"the tag {name} was moved or made again since it was first read here",
                where=self.path,
                expected=f"object {seen}",
                got=f"object {tag}",
                remedy=f"ask who moved it; `git update-ref -d {seen_ref}` accepts the new one",
                code="E207",
            )

    def refs(self) -> tuple[str, ...]:
        """List tags and branches by their short names."""
        answer = self.git("for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags", "refs/heads")
        return tuple(answer.stdout.decode("utf-8", "replace").split())

    def git(self, *arguments: str, input: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run git here; it never asks anything.

        Args:
            *arguments: Command and arguments.
            input: Its standard input.

        Returns:
            How it ended and what it said.
        """
        return _git(self.path, *arguments, input=input or b"", objects=self.objects)

    def run(self, *arguments: str, input: bytes | None = None) -> str:
        """Run a git command that is expected to succeed.

        Args:
            *arguments: Command and arguments.
            input: Its standard input.

        Returns:
            What it printed, without the newline at the end.

        Raises:
            DataReleaseError: It failed.
        """
        answer = self.git(*arguments, input=input)
        if answer.returncode != 0:
            reason = answer.stderr.decode("utf-8", "replace").strip()
            raise DataReleaseError(f"git failed: {reason}", where=self.path, got=f"git {' '.join(arguments)}")
        return answer.stdout.decode("utf-8", "replace").rstrip("\n")

    def read(self, commit: str, path: str) -> bytes | None:
        """Read a tracked file.

        Args:
            commit: Full sha.
            path: Relative to the top of the repository.

        Returns:
            Its content; None where the commit has no regular file of that name.

        Raises:
            DataReleaseError: E401, git cannot read an object (a partial clone without network, a damaged repository).
        """
        folder, _, name = path.rpartition("/")
        answer = self.git("cat-file", "--batch", input=os.fsencode(f"{commit}:{folder}\n{commit}:{path}\n"))
        if answer.returncode != 0:
            raise _unreadable(self.path, f"{commit}:{path}", answer.stderr)
        kind, tree, rest = _next_object(answer.stdout)
        if kind != "tree" or _mode_in_tree(tree, os.fsencode(name), len(commit) // 2) not in _BLOB_MODES:
            return None
        kind, content, _ = _next_object(rest)
        if kind != "blob":
            raise _unreadable(self.path, f"{commit}:{path}", b"the commit names it, but it is missing")
        return content

    def blob(self, commit: str, path: str) -> str | None:
        """Find the object of a tracked file.

        Args:
            commit: Full sha.
            path: Relative to the top of the repository, no ``..``.

        Returns:
            Sha of the blob; None where the commit has no regular file of that name.
        """
        answer = self.git("--literal-pathspecs", "ls-tree", "-z", "--full-tree", commit, "--", path)
        for row in answer.stdout.split(b"\0"):
            fields, _, name = row.partition(b"\t")
            if name == os.fsencode(path):
                mode, _, sha = fields.decode("ascii").split()
                return sha if mode in _BLOB_MODES else None
        return None

    def materialise(self, blob: str, name: str) -> Path:
        """Write a blob into the cache, once.

        Args:
            blob: Sha of the object, which names its content.
            name: The file's last name, so that messages about its lines can be understood.

        Returns:
            Path of a file with the blob's content.

        Raises:
            DataReleaseError: E401, git cannot read the object (a partial clone without network, a damaged repository).
            MachineError: E404, the cache cannot be written.
        """
        path = cache_root() / "blobs" / "git" / blob[:2] / blob / name
        if not path.is_file():
            with write_atomically(path) as file:
                answer = _git(self.path, "cat-file", "blob", blob, stdout=file.fileno(), objects=self.objects)
                if answer.returncode != 0:
                    raise _unreadable(self.path, blob, answer.stderr)
        return path


def _next_object(answers: bytes) -> tuple[str, bytes, bytes]:
    """Split what ``cat-file --batch`` says: kind and content of the first object, and the other answers."""
    head, _, rest = answers.partition(b"\n")
    words = head.decode("utf-8", "replace").split(" ")
    if words[-1] == "missing":
        return "missing", b"", rest
    size = int(words[2])
    return words[1], rest[:size], rest[size + 1 :]


def _mode_in_tree(tree: bytes, name: bytes, sha_bytes: int) -> str | None:
    # Rows of `mode name NUL sha`, where the sha may hold any byte.
    start = 0
    while start < len(tree):
        end = tree.index(b"\0", start)
        mode, _, row_name = tree[start:end].partition(b" ")
        if row_name == name:
            return mode.decode("ascii")
        start = end + 1 + sha_bytes
    return None


def _unreadable(path: Path, name: str, stderr: bytes) -> DataReleaseError:
    reason = stderr.decode("utf-8", "replace").strip()
    return DataReleaseError(f"git cannot read an object: {reason}", where=f"{path} {name}", code="E401")


def _git(
    folder: Path,
    *arguments: str,
    stdout: int = subprocess.PIPE,
    input: bytes | None = None,
    objects: Sequence[tuple[str, str]] = (),
) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("git") is None:
        raise MachineError("git is not installed", remedy="install git, or read the release from a folder with root=")
    # A hook's environment would redirect us into the repository that runs the hook.
    clean = {key: value for key, value in os.environ.items() if key not in _REDIRECTIONS}
    command = ["git", "-C", str(folder), *arguments]
    environ = {**clean, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **dict(objects)}
    return subprocess.run(command, input=input, stdout=stdout, stderr=subprocess.PIPE, env=environ, check=False)


_REDIRECTIONS = {
    "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH", "GIT_NAMESPACE", "GIT_PREFIX",
}  # fmt: skip
