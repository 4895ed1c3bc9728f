"""A name server that changes its mind: each A query of a name gets the next of its answers."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from threading import Thread
from typing import Self

_A, _IN = 1, 1
_IS_ANSWER = 0x8400
_POINTER_TO_QUESTION = 0xC00C
_NO_SUCH_NAME = 3

Answers = Mapping[str, Sequence[Sequence[str]]]
"""IPv4 addresses by name, for the first query, the second and so on; the last repeats."""


class NameServer:
    """Answers on port 53 of an address of this machine, with a TTL of 0.

    Attributes:
        asked: the names of A queries, in order.
    """

    def __init__(self, host: str, answers: Answers) -> None:
        self._answers = answers
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 53))
        self._thread = Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as goodbye:
            goodbye.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            query, sender = self._socket.recvfrom(512)
            if not query:
                return
            self._socket.sendto(self._answer(query), sender)

    def _answer(self, query: bytes) -> bytes:
        name, kind, question = _read_question(query)
        addresses = self._look_up(name) if kind == _A else []
        code = 0 if name in self._answers else _NO_SUCH_NAME
        head = query[:2] + struct.pack(">5H", _IS_ANSWER | code, 1, len(addresses), 0, 0)
        record = struct.pack(">3HIH", _POINTER_TO_QUESTION, _A, _IN, 0, 4)
        return head + question + b"".join(record + socket.inet_aton(a) for a in addresses)

    def _look_up(self, name: str) -> Sequence[str]:
        known = self._answers.get(name, [[]])
        answer = known[min(self.asked.count(name), len(known) - 1)]
        self.asked.append(name)
        return answer


def _read_question(query: bytes) -> tuple[str, int, bytes]:
    """Name, type and the question's own bytes."""
    labels, at = [], 12
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii", "replace"))
        at += 1 + length
    (kind,) = struct.unpack_from(">H", query, at + 1)
    return ".".join(labels).lower(), kind, query[12 : at + 5]
