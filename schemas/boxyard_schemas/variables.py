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
_OWN = re.compile(rf"{_PREFIX}[\W_]", re.IGNORECASE)
_PREFIX_LENGTHS = (7, 6, 8)
"""Of the prefix as it is, with a letter missing, and with one too many."""
_ALIKE = 0.85
"""Similarity of a prefix with one mistake, such as two letters that changed places."""
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

    Names are compared by their letters and digits: a sign that is missing, or `-` or `.` in place
    of `_`, is a mistake like any other.

    Returns:
        The name itself where it is known or has nothing to do with Boxyard, the most similar known
        one where it may be mistyped, None where it has Boxyard's prefix and no known one is
        similar.
    """
    known = _known()
    if name.upper() in known.values():
        return name
    letters = _letters(name)
    for length in _PREFIX_LENGTHS:
        prefix, rest = letters[:length], letters[length:]
        if difflib.SequenceMatcher(None, prefix, _PREFIX).ratio() >= _ALIKE and (
            similar := difflib.get_close_matches(rest, known, n=1)
        ):
            return known[similar[0]]
    return None if _OWN.match(name) else name


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).upper()


def _of_kubernetes(name: str, value: str) -> bool:
    return bool(_OF_KUBERNETES.search(name)) or value.startswith(_ITS_ADDRESSES)


@cache
def _known() -> dict[str, str]:
    """The names by their letters and digits without the prefix."""
    names = (files("boxyard_schemas") / "variables.txt").read_text("utf-8").split()
    return {_letters(name.removeprefix(_PREFIX)): name for name in names}
