"""The one error type."""

from __future__ import annotations


class TSDBError(Exception):
    """What went wrong.

    ``code`` is the server's code, such as ``SERIES_NOT_FOUND``, or one of the client's own:
    ``CONNECTION_FAILED``, ``CONNECTION_LOST``, ``TIMEOUT``. ``message`` is for people.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
