"""A bare remote and two people's clones of it; nobody's global configuration plays a part."""

import os

import pytest
from shared_repository import clone, make_remote


@pytest.fixture(autouse=True)
def no_global_config(monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)


@pytest.fixture
def remote(tmp_path):
    return make_remote(tmp_path)


@pytest.fixture
def ada(remote, tmp_path):
    return clone(remote, tmp_path / "ada")


@pytest.fixture
def bob(remote, tmp_path):
    return clone(remote, tmp_path / "bob", "Bob")
