"""Text prompts: only models that take one are asked with one."""

from __future__ import annotations

from boxyard_schemas import Parameters
from boxyard_schemas.catalogue import takes_prompt

from .problems import refuse


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
