"""The consumer's side of callbacks: is it genuine, and was it here before?

A request's headers and exact bytes come in, a typed event leaves. Beside the words, the standard
library is all that this package needs. `boxyard_schemas.errors` says what each failure is
answered with.
"""

from boxyard_schemas.errors import EventInProgress, UnknownEvent, WebhookError, WebhookInvalid

from .deduplication import Deduplication, MemoryDeduplication
from .in_redis import RedisDeduplication
from .signatures import sign
from .verification import Headers, WebhookEvent, verify

__all__ = [
    "Deduplication",
    "EventInProgress",
    "Headers",
    "MemoryDeduplication",
    "RedisDeduplication",
    "UnknownEvent",
    "WebhookError",
    "WebhookEvent",
    "WebhookInvalid",
    "sign",
    "verify",
]
