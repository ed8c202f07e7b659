"""Git and pins for tests that need a real repository."""

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

DATE = "2026-01-02T03:04:05+00:00"


def git(folder: Path, *arguments: str) -> str:
    dates = {"GIT_AUTHOR_DATE": DATE, "GIT_COMMITTER_DATE": DATE}
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, **dates}
    identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_all(folder: Path, message: str) -> str:
    """Commit everything that lies there; give the commit."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def integrity(path: Path, num_samples: int) -> dict[str, Any]:
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content), "num_samples": num_samples}
