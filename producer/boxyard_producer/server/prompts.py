"""Text prompts: only models that take one are asked with one."""

from __future__ import annotations

from boxyard_schemas import Parameters
from boxyard_schemas.catalogue import catalogue

from .problems import refuse


def takes_prompt(model: str) -> bool:
    """Whether a model may take a text prompt; of one beyond the catalogue its worker knows."""
    entry = catalogue().get(model)
    return entry is None or entry.text_prompt


def check_prompt(model: str, parameters: Parameters) -> None:
    """Refuses a prompt that the model could not heed.

    Raises:
        InvalidRequest: the model finds its own classes only.
    """
    if parameters.text_prompt is not None and not takes_prompt(model):
        raise refuse(
            "parameters.text_prompt",
            f"{model} finds its own classes only; GLIP and Grounding DINO models take a prompt",
        )
