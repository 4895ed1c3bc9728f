from __future__ import annotations

import socket
import sys


def main(parent: int, source: int, target: int) -> None:
    """Runs the child; what keeps it from starting is sent to the parent, in one line."""
    try:
        from boxyard_worker.decoder.child import prepare, serve  # noqa: PLC0415 - it may fail

        prepare()
    except Exception as error:
        with socket.socket(fileno=parent) as line:
            line.send(f"{type(error).__name__}: {error}".encode()[:1000])
        sys.exit(1)
    serve(parent, source, target)


main(*(int(argument) for argument in sys.argv[1:]))
