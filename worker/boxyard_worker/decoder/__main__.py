"""`python -m boxyard_worker.decoder PARENT SOURCE TARGET`: the file descriptors of `serve`.

What keeps it from starting, such as a library that is missing, is sent to the parent in one line.
"""

from __future__ import annotations

import socket
import sys

try:
    from boxyard_worker.decoder.child import prepare, serve

    prepare()
except Exception as error:
    with socket.socket(fileno=int(sys.argv[1])) as line:
        line.send(f"{type(error).__name__}: {error}".encode()[:1000])
    sys.exit(1)
serve(*map(int, sys.argv[1:]))
