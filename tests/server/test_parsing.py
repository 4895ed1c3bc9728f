"""Requests are the same however their bytes come, and however often the parser has to be asked."""

from __future__ import annotations

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

from boxyard_producer.server.parsing import RequestParser

Sent = tuple[bytes, int]
"""A body, and the size of its chunks; 0: it comes with its length."""


def written(body: bytes, chunk: int) -> bytes:
    if not chunk:
        return b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    pieces = (body[start : start + chunk] for start in range(0, len(body), chunk))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    head = b"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunks + b"0\r\nX: y\r\n\r\n"


def read(pieces: list[bytes], waits: int) -> list[bytes]:
    """The bodies of the requests; each may begin when it has been asked so often."""
    bodies, asked = list[bytes](), 0

    def may_begin(head: bytes) -> bool:
        nonlocal asked
        assert head.startswith(b"POST ")
        assert head.endswith(b"\r\n\r\n")
        asked += 1
        return asked % (waits + 1) == 0

    parser = RequestParser(may_begin)
    for piece in pieces:
        parser.receive_data(piece)
        idle = 0
        while idle <= waits:
            parser.begin_turn()
            event = parser.next_event()
            idle = idle + 1 if event is h11.NEED_DATA and not parser.has_more else 0
            if isinstance(event, h11.Request):
                bodies.append(b"")
            elif isinstance(event, h11.Data):
                bodies[-1] += event.data
            elif isinstance(event, h11.EndOfMessage):
                parser.send(h11.Response(status_code=204, headers=[]))
                parser.send(h11.EndOfMessage())
                parser.start_next_cycle()
    assert parser.refusal is None
    return bodies


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.binary(max_size=5000), st.integers(0, 2000)), max_size=4),
    st.integers(1, 20_000),
    st.integers(0, 2),
)
def test_requests_do_not_depend_on_the_pieces_in_which_they_come(
    sent: list[Sent], piece: int, waits: int
) -> None:
    sent = [(body, chunk if chunk == 0 else max(chunk, len(body) // 200)) for body, chunk in sent]
    stream = b"".join(written(*each) for each in sent)
    piece = max(piece, len(stream) // 200)
    pieces = [stream[start : start + piece] for start in range(0, len(stream), piece)]
    assert read(pieces, waits) == [body for body, _ in sent]
