"""kombu's Redis transport, made for bells: hints that may be lost and are never acknowledged.

Two of kombu's habits end a consumer that could live on. A message that is no message raises;
here it is logged and forgotten. And Celery acknowledges what was consumed with `no_ack` too, over
a connection that may be gone by then; here there is nothing to acknowledge.
"""

from __future__ import annotations

from typing import Any

import structlog
from kombu.transport import get_transport_cls

log = structlog.get_logger(__name__)


def bell_transport(scheme: str) -> type[Any]:
    """The transport for bells over Redis.

    Args:
        scheme: of the broker's URL, such as `redis` or `rediss`.
    """
    base: Any = get_transport_cls(scheme)

    class Channel(base.Channel):  # type: ignore[misc] # kombu has no types
        def _brpop_read(self, **options: Any) -> Any:
            try:
                return super()._brpop_read(**options)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                log.warning("bell.refused", reason=f"{type(error).__name__}: {error}")
                return True

        def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
            """Does nothing."""

        def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
            """Does nothing."""

    return type("BellTransport", (base,), {"Channel": Channel})
