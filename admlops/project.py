"""Where the project, its data and its checkpoints lie: ``$ADMLOPS``, ``$DATASET`` and ``$MODELZOO``, or the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from admlops.errors import ConfigError

_PACKAGE_DIR = Path(__file__).resolve().parent


def project_root() -> Path:
    """Find the folder that holds ``configs``, ``tools`` and, beside them, ``data`` and ``checkpoints``.

    Returns:
        ``$ADMLOPS`` where it is set; else the checkout that this package was loaded from; for a package that was installed
        from a wheel, its ``.mim`` folder, which carries configs and tools.

    Raises:
        ConfigError: ``$ADMLOPS`` is set, but is no folder with ``configs`` in it.
    """
    named = os.environ.get("ADMLOPS")
    if named:
        root = Path(named).expanduser()
        if not (root / "configs").is_dir():
            raise ConfigError(
                "the environment variable ADMLOPS does not name the project's root",
                expected="a folder that holds configs/",
                got=named,
                remedy="point it at the checkout, or unset it to use the folder of the installed package",
            )
        return root.resolve()
    checkout = _PACKAGE_DIR.parent
    return checkout if (checkout / "configs").is_dir() else _PACKAGE_DIR / ".mim"


def find_in_project(path: str | Path) -> Path:
    """Resolve a path that may be meant from the current folder or from the project's root.

    Args:
        path: Absolute, relative to the current folder, or relative to the project's root.

    Returns:
        The path as given where it is absolute or exists from the current folder; else the path below :func:`project_root`,
        whether or not it exists there.
    """
    given = Path(path).expanduser()
    if given.is_absolute() or given.exists():
        return given
    return project_root() / given


def link_folder(folder: Path, variable: str) -> str | None:
    """Make a folder of the project a link to what an environment variable names, or a plain folder where that is not set.

    Args:
        folder: ``data`` or ``checkpoints`` of the checkout. A plain folder with content is never replaced.
        variable: ``DATASET`` or ``MODELZOO``.

    Returns:
        What was done or what stands in the way, for people; None where nothing had to be done.

    Raises:
        ConfigError: The variable names no folder, or the link leads nowhere.
    """
    named = os.environ.get(variable)
    if not named:
        if folder.is_symlink() and not folder.exists():
            raise ConfigError(
                "a link of the project leads nowhere",
                where=folder,
                got=folder.readlink(),
                remedy=f"mount or make that folder, or: rm {folder} && make setup",
            )
        if folder.exists():
            return None
        folder.mkdir()
        return f"{folder.name}: a plain folder (set {variable} to use another place)"
    target = Path(named).expanduser()
    if not target.is_dir():
        raise ConfigError(
            f"the environment variable {variable} names no folder",
            expected="a folder that exists",
            got=named,
            remedy=f"mkdir -p {named}, or correct or unset {variable}",
        )
    target = target.resolve()
    if folder.exists() and folder.resolve() == target:
        return None
    if folder.is_symlink() or not folder.exists():
        folder.unlink(missing_ok=True)
    elif folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    else:
        return (
            f"{folder.name}: left alone, because it is a folder with content; {variable}={named} is NOT used.\n"
            f"  to use it: mv {folder}/* {target}/ && rmdir {folder} && make setup"
        )
    folder.symlink_to(target)
    return f"{folder.name} -> {target} ({variable})"
