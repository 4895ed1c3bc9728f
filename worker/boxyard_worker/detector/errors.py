"""What goes wrong while a model is loaded, or asked for what it cannot look for.

DetectorError
├── DetectorLoadError    the model cannot serve: unknown name, no weights, wrong weights, …
└── PromptError          the model cannot look for what a request asks
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


class PromptError(DetectorError):
    """A prompt that the model cannot heed; the picture's outcome.

    Attributes:
        code: stable, such as `prompt-too-long`.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
