"""The front door: the client, the server behind it, the command line.

Calls come in by HTTP, Python or the shell; accepted jobs leave for the ledger. On the base
install this package gives the client and, for consumers of callbacks, `webhooks`: httpx and
pydantic are all that it imports.
"""

from .client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
