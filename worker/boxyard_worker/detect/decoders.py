"""A pool of decoder children: one image each, and a new child for one that died.

An image is blamed for what it did alone in a child that had CPU time: for CPU seconds beyond the
deadline at once; for a crash, or a child that sleeps past the deadline, when it happens again in a
fresh child. A child that was killed from outside, stopped or starved says nothing about its image,
which is tried again. Nor does one that never started: where none starts, the worker has to end.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from boxyard_schemas.errors import Permanent, SetupError, Unavailable
from boxyard_worker.decoder.header import Header
from boxyard_worker.detect.awake import awake_s
from boxyard_worker.detect.decoder_process import Decoded, Decoder, DecoderDied, DecoderNotStarted
from boxyard_worker.detector.contract import ResizePlan

_TRIES = 2
"""So many crashes or hangs over one image are the image's."""
_PATIENCE_S = 20.0
"""How long an image is tried again after deaths that it did not cause; then its job is."""
_PAUSES_S = 0.05, 1.0
"""Between such tries: at first, and at most."""
_STARTS = 3
"""Of the first child; it may have been killed from outside."""
_UNSTARTABLE_S = 20.0
"""Later, when no child has started for so long, none will: the worker ends."""


def memory_of(data: bytes, header: Header) -> int:
    """Bytes that decoding a picture may take in the child; more are not given.

    The costliest honest pictures are progressive JPEGs in four colours: 11 bytes a pixel.
    """
    return (24 << 20) + 3 * len(data) + 12 * header.width * header.height


class Decoders:
    """A pool of decoder children, started when they are needed.

    Args:
        count: how many at once.
        max_pixels: no picture has more, whatever its header says.
        deadline_s: CPU time for one picture, seconds; and the time that its child may sleep.
        on_broken: called when no child can be started any more.
    """

    def __init__(
        self,
        count: int,
        *,
        max_pixels: int,
        deadline_s: float,
        on_broken: Callable[[SetupError], None] = lambda error: None,
    ) -> None:
        self._max_pixels = max_pixels
        self._deadline_s = deadline_s
        self._on_broken = on_broken
        self._failing_since: float | None = None
        self._broken = False
        self._idle: queue.LifoQueue[Decoder | None] = queue.LifoQueue()
        for _ in range(count):
            self._idle.put(None)

    def start(self) -> None:
        """Starts the first child, which shows that this machine can run them.

        Raises:
            SetupError: it cannot; says why.
        """
        for left in reversed(range(_STARTS)):
            try:
                with self._borrow():
                    return
            except DecoderNotStarted as error:
                if not left:
                    raise _unstartable(error) from error
            time.sleep(_PAUSES_S[1])

    def decode(self, data: bytes, memory: int, plan: ResizePlan | None = None) -> Decoded:
        """Decodes a picture, and resizes it.

        Args:
            data: the file's bytes.
            memory: bytes that it may take.
            plan: None to leave its size.

        Raises:
            Permanent: `undecodable-image`, `too-much-memory`, `decode-deadline`, or `crashed`.
            DecoderDied: again and again, and not by the picture's doing.
            Unavailable: no child can be started.
        """
        faults, end, (pause, longest) = 0, awake_s() + _PATIENCE_S, _PAUSES_S
        while True:
            try:
                with self._borrow(fresh=faults > 0) as decoder:
                    return decoder.decode(data, memory, plan)
            except DecoderNotStarted as error:
                self._note_failure(error)
                end = awake_s() + _PATIENCE_S  # what came before was not for want of tries
            except DecoderDied as died:
                faults += bool(died.reason)
                if faults >= _TRIES:
                    detail = f"The picture ended the decoder's process ({died})."
                    raise Permanent(died.reason, detail) from died
                if awake_s() > end:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, longest)

    def close(self) -> None:
        """Ends the idle children; none may be at work."""
        while True:
            try:
                decoder = self._idle.get_nowait()
            except queue.Empty:
                return
            if decoder:
                decoder.end()

    @contextmanager
    def _borrow(self, *, fresh: bool = False) -> Iterator[Decoder]:
        decoder = self._idle.get()
        try:
            if fresh and decoder:
                decoder.end()
                decoder = None
            decoder = decoder or self._begin()
            yield decoder
        finally:
            self._idle.put(decoder if decoder and decoder.alive else None)

    def _begin(self) -> Decoder:
        decoder = Decoder(self._max_pixels, self._deadline_s)
        self._failing_since = None
        return decoder

    def _note_failure(self, error: DecoderNotStarted) -> None:
        now = awake_s()
        since = self._failing_since = self._failing_since or now
        if now - since > _UNSTARTABLE_S:
            broken = _unstartable(error)
            if not self._broken:
                self._broken = True
                self._on_broken(broken)
            raise Unavailable(broken.detail, retry_after_s=5) from error


def _unstartable(error: DecoderNotStarted) -> SetupError:
    return SetupError(
        f"No process that decodes images can be started: {error}. Images cannot be read without "
        "one. `boxyard-worker check` looks for what is missing; limits of memory, processes and "
        "system calls hold for these processes too."
    )
