"""What goes wrong while a model is loaded.

DetectorError
└── DetectorLoadError    the model cannot serve: unknown name, no weights, wrong weights, …
"""

from __future__ import annotations


class DetectorError(Exception):
    """Base of the detector's own errors."""


class DetectorLoadError(DetectorError):
    """A model that cannot be loaded; nothing that a retry mends.

    Attributes:
        message: what is wrong.
        hint: what the operator can do about it.
    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(f"{message} {hint}")
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type[DetectorLoadError], tuple[str, str]]:
        """Lets the error cross from the model child to its parent whole."""
        return type(self), (self.message, self.hint)
