"""What the restricted unpickler makes of pickled objects other than tensors and plain values.

Trainings keep a log, options, paths, times and random states beside the parameters. None of it is
needed, so each is replaced by an empty object. Class names are needed: dictionaries of other types
are read as plain ones, and numpy's text scalars as text.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final


class Forgotten:
    """Replaces an object that is not read."""

    def __init__(self, *_arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


class _NumpyType(Forgotten):
    """Replaces `numpy.dtype`, and knows by which codec its texts are stored."""

    def __init__(self, code: object = "", *_arguments: object) -> None:
        kind = code[:1] if isinstance(code, str) else ""
        self.codec = {"U": "utf-32-le", "S": "utf-8"}.get(kind)

    def __setstate__(self, state: object) -> None:
        big_endian = isinstance(state, tuple) and state[1:2] == (">",)
        if big_endian and self.codec == "utf-32-le":
            self.codec = "utf-32-be"


class _Plain:
    """Replaces dictionaries of other types; they may hold the class names."""

    def __new__(cls, *arguments: object) -> Any:
        # torch fills only dictionaries of its own choice, of which this is one.
        return OrderedDict(*(each for each in arguments if isinstance(each, dict)))


def _forgetting(name: str) -> type[Forgotten]:
    """A type that is named as what it replaces, so that messages can name that."""
    return type(name.rpartition(".")[2], (Forgotten,), {})


_Array = _forgetting("numpy.ndarray")
_Scalar = _forgetting("numpy.scalar")


def _read_scalar(kind: object = None, data: object = None, *_arguments: object) -> object:
    codec = kind.codec if isinstance(kind, _NumpyType) else None
    if codec is None or not isinstance(data, bytes):
        return _Scalar()
    try:
        return data.decode(codec).rstrip("\0")
    except UnicodeError:
        return _Scalar()


# Not numpy's arrays, and not what `getattr` would find.
_FORGOTTEN: Final = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "mmengine.config.config.Config",
    "argparse.Namespace",
    "types.SimpleNamespace",
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(
        f"{module}.{kind}Path"
        for module in ("pathlib", "pathlib._local")
        for kind in ("", "Pure", "Posix", "Windows", "PurePosix", "PureWindows")
    ),
    *(
        f"builtins.{name}"
        for name in ("getattr", "int", "float", "str", "list", "dict", "tuple", "frozenset")
    ),
)
_DICTIONARIES: Final = (
    "mmengine.config.config.ConfigDict",
    "mmcv.utils.config.ConfigDict",
    "addict.addict.Dict",
    "collections.defaultdict",
)


STAND_INS: Final[tuple[tuple[Callable[..., Any], str], ...]] = (
    *((_forgetting(name), name) for name in _FORGOTTEN),
    *((_Plain, name) for name in _DICTIONARIES),
    (_NumpyType, "numpy.dtype"),
    (_Array, "numpy.ndarray"),
    *(
        (stand_in, f"numpy.{core}.{name}")
        for core in ("core", "_core")
        for stand_in, name in (
            (_Array, "multiarray._reconstruct"),
            (_Array, "numeric._frombuffer"),
            (_read_scalar, "multiarray.scalar"),
        )
    ),
)
"""Each callable with the full name, as pickled, of what it replaces."""
