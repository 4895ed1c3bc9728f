"""Swift in a container: `python -m compose.swift FOLDER`, on port 7070, until it is stopped."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from swift_server import SwiftServer


def main() -> None:
    """Serves `folder`; what it holds from an earlier run is there again."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with SwiftServer(Path(sys.argv[1]), ("0.0.0.0", 7070), os.environ["ROOT_SECRET_KEY"]):
        signal.pause()


if __name__ == "__main__":
    main()
