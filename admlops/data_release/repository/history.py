"""Write history without looking at anybody's checkout: commits from trees, branches moved only from where they were seen."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from admlops.data_release.git_repository import GitRepository
from admlops.errors import DataReleaseError, nearest

NO_OBJECT = "0" * 40
_NAMED_PERSON = ("-c", "user.useConfigOnly=true")


@dataclass(frozen=True)
class Branch:
    """A branch as it was seen.

    Attributes:
        name: Without ``refs/heads/``.
        commit: Its newest commit.
        here: The newest commit here, which may lack some of the remote's; None where it is only known from the remote.
    """

    name: str
    commit: str
    here: str | None


def person(repository: GitRepository) -> str:
    """Say who is writing, as git records it.

    Args:
        repository: Whose configuration counts.

    Returns:
        ``Name <mail> seconds zone``.

    Raises:
        DataReleaseError: Nobody was named; a name guessed from the machine is not accepted, since it answers nobody's question.
    """
    answer = repository.git(*_NAMED_PERSON, "var", "GIT_COMMITTER_IDENT")
    if answer.returncode != 0:
        raise DataReleaseError(
            "git does not know who you are",
            where=repository.path,
            expected="a name and a mail address, which the release records",
            got=answer.stderr.decode("utf-8", "replace").strip().splitlines()[-1],
            remedy="`git config user.name 'Your Name'` and `git config user.email you@example.com`",
        )
    return answer.stdout.decode("utf-8", "replace").strip()


def find_branch(repository: GitRepository, name: str, remote: str = "origin") -> Branch:
    """Find a branch here, else as it was last seen at a remote.

    Args:
        repository: Where to look.
        name: Such as ``master/multi_task``.
        remote: Whose branches count.

    Returns:
        The branch; of two that follow one another the newer one.

    Raises:
        DataReleaseError: E207, there is no such branch, it has no commit yet, or it went two ways here and there.
    """
    here, there = (find_commit(repository, ref) for ref in (f"refs/heads/{name}", f"refs/remotes/{remote}/{name}"))
    if here and (there is None or is_ancestor(repository, there, here)):
        return Branch(name, here, here)
    if there and (here is None or is_ancestor(repository, here, there)):
        return Branch(name, there, here)
    if here and there:
        raise DataReleaseError(
            f"{name} went two ways here and at {remote}",
            where=repository.path,
            got=f"{here[:12]} here, {there[:12]} at {remote}",
            remedy=f"`git rebase {remote}/{name} {name}`, then try again",
            code="E203",
        )
    known = repository.run("for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads").split()
    remedy = nearest(name, known) if known else "make a first commit on it"
    raise DataReleaseError(f"there is no branch {name!r} with a commit", where=repository.path, remedy=remedy, code="E207")


def find_commit(repository: GitRepository, ref: str) -> str | None:
    """Find the commit of a full ref; None where there is no such ref."""
    answer = repository.git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    return answer.stdout.decode("ascii").strip() if answer.returncode == 0 else None


def find_trunk(repository: GitRepository, remote: str = "origin") -> Branch | None:
    """Find the branch that task branches start from; its ``data_release.yaml`` is where tasks are registered first.

    Args:
        repository: Where to look.
        remote: Whose branches count.

    Returns:
        ``main``, else a legacy ``master`` or ``develop``; None where there is none.
    """
    for name in ("main", "master", "develop"):
        refs = (f"refs/heads/{name}", f"refs/remotes/{remote}/{name}")
        if any(find_commit(repository, ref) for ref in refs):
            return find_branch(repository, name, remote)
    return None


def is_ancestor(repository: GitRepository, older: str, newer: str) -> bool:
    """Tell whether a commit is another, or one that it follows."""
    return repository.git("merge-base", "--is-ancestor", older, newer).returncode == 0


def refuse_name_conflict(repository: GitRepository, branch: str, remote: str = "origin") -> None:
    """Refuse a branch that cannot exist beside those that are there: git keeps branches as files in folders.

    Args:
        repository: Where it would be made.
        branch: Its name.
        remote: Whose branches count beside the ones here.

    Raises:
        DataReleaseError: It exists; or E210, one of them would have to be a folder and a file.
    """
    names: set[str] = set()
    for prefix in ("refs/heads/", f"refs/remotes/{remote}/"):
        refs = repository.run("for-each-ref", "--format=%(refname)", "--", prefix).splitlines()
        names |= {ref.removeprefix(prefix) for ref in refs}
    if branch in names:
        remedy = f"`git switch {branch}` opens it"
        raise DataReleaseError(f"there is a branch {branch!r} already", where=repository.path, remedy=remedy)
    for name in sorted(names):
        if branch.startswith(f"{name}/") or name.startswith(f"{branch}/"):
            raise DataReleaseError(
                f"{branch!r} and {name!r} cannot both be branches",
                where=repository.path,
                expected="no branch whose name is the beginning of another's, up to a slash",
                got=name,
                remedy="`admlops data init --migrate` renames the trunk to main" if name == "master" else f"rename {name}",
                code="E210",
            )


def rows_of(repository: GitRepository, treeish: str) -> dict[bytes, bytes]:
    """List the top level of a tree.

    Args:
        repository: Where it lies.
        treeish: A commit or a tree.

    Returns:
        ``mode kind sha`` by name, as ``git mktree`` reads them.
    """
    answer = repository.git("ls-tree", "-z", treeish)
    rows = (row.partition(b"\t") for row in answer.stdout.split(b"\0") if row)
    return {name: fields for fields, _, name in rows}


def write_tree(repository: GitRepository, rows: Mapping[bytes, bytes]) -> str:
    """Write a tree from its rows, see ``rows_of``; gives its sha."""
    content = b"".join(b"%s\t%s\0" % (fields, name) for name, fields in rows.items())
    return repository.run("mktree", "-z", input=content)


def tree_with(repository: GitRepository, treeish: str | None, files: Mapping[str, bytes]) -> str:
    """Write a tree with other files.

    Args:
        repository: Where it is written.
        treeish: Where all else is taken from; None for nothing else.
        files: New content by path.

    Returns:
        Sha of the tree.

    Raises:
        DataReleaseError: A folder is needed where a file is.
    """
    rows = rows_of(repository, treeish) if treeish else {}
    folders: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        first, _, rest = path.partition("/")
        if rest:
            folders.setdefault(first, {})[rest] = content
            continue
        mode = rows.get(os.fsencode(first), b"100644").split(b" ")[0]
        sha = repository.run("hash-object", "-w", "--stdin", input=content)
        rows[os.fsencode(first)] = b"%s blob %s" % (mode, sha.encode("ascii"))
    for name, inner in folders.items():
        _, kind, sha_bytes = rows.get(os.fsencode(name), b"040000 tree ").split(b" ")
        if kind != b"tree":
            raise DataReleaseError(
                f"{name!r} is a file, not a folder", where=repository.path, got=f"{name}/{next(iter(inner))}"
            )
        subtree = tree_with(repository, sha_bytes.decode("ascii") or None, inner)
        rows[os.fsencode(name)] = b"040000 tree %s" % subtree.encode("ascii")
    return write_tree(repository, rows)


def write_commit(repository: GitRepository, tree: str, parent: str, message: str) -> str:
    """Write a commit that no branch names yet; the hook ``commit-msg`` has its say.

    Args:
        repository: Where it is written.
        tree: Its content.
        parent: The commit that it follows.
        message: Its message.

    Returns:
        Full sha.

    Raises:
        DataReleaseError: Nobody was named as its author, or the hook refused the message.
    """
    person(repository)
    content = _ask_hook(repository, message)
    return repository.run(*_NAMED_PERSON, "commit-tree", tree, "-p", parent, "-F", "-", input=content)


def advance_branch(repository: GitRepository, branch: Branch, commit: str, reason: str) -> None:
    """Move a branch to a commit that follows it; where it is checked out, its files move along.

    Args:
        repository: Where it lies.
        branch: As it was seen; somebody who moved it meanwhile is not overwritten.
        commit: Full sha of the new commit.
        reason: For the reflog.

    Raises:
        DataReleaseError: E203, it moved meanwhile; or it is checked out and a changed file there would be overwritten.
    """
    checkouts = [GitRepository(path, path) for path in _checkouts(repository, branch.name)]
    before = branch.here or branch.commit
    for checkout in checkouts:
        checkout.git("update-index", "-q", "--refresh")
        answer = checkout.git("read-tree", "-n", "-m", "-u", before, commit)
        if answer.returncode != 0:
            raise DataReleaseError(
                f"{branch.name} is checked out, and changes there would be overwritten",
                where=checkout.path,
                got=answer.stderr.decode("utf-8", "replace").strip(),
                remedy="commit or stash them first, or switch to another branch",
            )
    answer = repository.git("update-ref", "-m", reason, f"refs/heads/{branch.name}", commit, branch.here or NO_OBJECT)
    if answer.returncode != 0:
        raise DataReleaseError(
            f"{branch.name} moved while its next commit was written",
            where=repository.path,
            expected=branch.here or "no branch of this name yet",
            got=answer.stderr.decode("utf-8", "replace").strip(),
            remedy="try again",
            code="E203",
        )
    for checkout in checkouts:
        checkout.run("read-tree", "-m", "-u", before, commit)


def _checkouts(repository: GitRepository, branch: str) -> list[Path]:
    paths, path = [], None
    for row in repository.run("worktree", "list", "--porcelain").splitlines():
        key, _, value = row.partition(" ")
        if key == "worktree":
            path = Path(value)
        elif key == "branch" and value == f"refs/heads/{branch}" and path is not None and path.is_dir():
            paths.append(path)
    return paths


def _ask_hook(repository: GitRepository, message: str) -> bytes:
    # commit-tree runs no hooks, and `git hook run` is younger than the git of long-term distributions.
    hook = repository.path / repository.run("rev-parse", "--git-path", "hooks/commit-msg")
    if not os.access(hook, os.X_OK):
        return message.encode()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "COMMIT_EDITMSG"
        file.write_text(message, "utf-8")
        done = subprocess.run([hook, file], cwd=repository.path, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0:
            said = (done.stderr + done.stdout).decode("utf-8", "replace").strip()
            raise DataReleaseError("the hook commit-msg refused the message", where=hook, expected=said or None, got=message)
        return file.read_bytes()
