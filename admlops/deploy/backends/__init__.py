"""Runs exported files, one module a runtime. A runtime is imported by its own module only, when a file is opened with it."""

from admlops.deploy.backends.backend import Backend, open_backend

__all__ = ["Backend", "open_backend"]
