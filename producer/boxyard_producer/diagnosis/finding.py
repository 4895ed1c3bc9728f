"""One thing that was looked at."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Finding(BaseModel):
    """How one thing stands."""

    model_config = ConfigDict(frozen=True)

    name: str
    ok: bool
    detail: str = Field(description="What was found.")
    mend: str = Field("", description="What to do when it is not ok.")
    required: bool = Field(True, description="Whether what is installed or set needs it.")

    @property
    def wrong(self) -> bool:
        """Not ok, and needed."""
        return self.required and not self.ok
