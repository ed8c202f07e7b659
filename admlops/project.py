"""Where the project lies: ``$ADMLOPS`` or the checkout, for configs and data when the current folder is another one."""

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
