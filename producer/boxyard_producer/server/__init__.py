"""The front door: HTTP requests in, accepted jobs and stored results out.

`create_app` builds the application from its settings and a ledger; `python -m
boxyard_producer.server` serves it. Routers are nouns: jobs, deliveries, uploads, models,
endpoints, keys, score, health. Nothing is decided here that the ledger must remember, and no
picture is opened.
"""

from .application import create_app
from .settings import ServerSettings

__all__ = ["ServerSettings", "create_app"]
