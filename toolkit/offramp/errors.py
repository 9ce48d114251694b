"""The one exception a person can mend; everything else is our bug and shows a traceback."""

from __future__ import annotations


class UserError(Exception):
    """Names the culprit, the number found and the number allowed; `hint` is what to try next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
