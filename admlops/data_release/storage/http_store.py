"""``http(s)://``: asked for as it stands."""

from __future__ import annotations


class HttpStore:
    """A web server."""

    def sign(self, method: str, url: str, version_id: str | None) -> str:
        """Give the URL as it stands; a web server keeps no versions.

        Args:
            method: ``GET`` or ``HEAD``.
            url: Of the object.
            version_id: Not used.

        Returns:
            The URL.
        """
        return url
