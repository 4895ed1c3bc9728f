"""The `BOXYARD_…` variables that anything of Boxyard reads, and a check for mistyped ones.

Processes share one environment, so each must know the names of all. They are in `variables.txt`,
which `make settings` writes from the settings of every process and from docker-compose.yml.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

_PREFIX = "BOXYARD"
_OF_KUBERNETES = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_\w+)?$")
"""What Kubernetes sets in each container for a Service that is called `boxyard-…`."""
_ITS_ADDRESSES = ("tcp://", "udp://", "sctp://")


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each variable that looks like a setting and is none.

    An unknown variable is no error: an older version may run with the environment of a newer one,
    and callers may have variables of their own.
    """
    for name, value in sorted(environment.items()):
        if (found := meant_by(name)) != name and not _of_kubernetes(name, value):
            hint = f"did you mean {found}?" if found else "nothing reads it."
            yield f"{name} is not a setting: {hint}"


def meant_by(name: str) -> str | None:
    """The variable that a name stands for.

    Returns:
        The name itself where it is known or has nothing to do with Boxyard, the most similar known
        one where it may be mistyped, None where no known one is similar.
    """
    prefix, separator, rest = name.upper().partition("_")
    known = _known()
    if not separator:
        return name
    if prefix != _PREFIX:
        alike = bool(difflib.get_close_matches(prefix, [_PREFIX], cutoff=0.8))
        return f"{_PREFIX}_{rest}" if alike and rest in known else name
    if rest in known:
        return name
    similar = difflib.get_close_matches(rest, known, n=1)
    return f"{_PREFIX}_{similar[0]}" if similar else None


def _of_kubernetes(name: str, value: str) -> bool:
    return bool(_OF_KUBERNETES.search(name)) or value.startswith(_ITS_ADDRESSES)


@cache
def _known() -> tuple[str, ...]:
    """The names without their prefix."""
    text = (files("boxyard_schemas") / "variables.txt").read_text("utf-8")
    return tuple(name.removeprefix(f"{_PREFIX}_") for name in text.split())
