"""Exits with 0 when the detect worker of this container beats and its model is warm."""

import socket
import sys

from boxyard_ledger import Ledger, LedgerSettings


def main() -> int:
    """The exit status."""
    with Ledger.open(LedgerSettings()) as ledger:
        own = [worker for worker in ledger.workers.all() if worker.host == socket.gethostname()]
    return 0 if any(worker.warm for worker in own) else 1


if __name__ == "__main__":
    sys.exit(main())
