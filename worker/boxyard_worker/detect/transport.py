"""kombu's Redis transport, made to survive what strangers push into the queue.

kombu lets a message that is no message end the consumer. Bells are hints that may be lost, so
here such a message is logged and forgotten.
"""

from __future__ import annotations

from typing import Any

import structlog
from kombu.transport import get_transport_cls

log = structlog.get_logger(__name__)


def tolerant_transport(scheme: str) -> type[Any]:
    """The transport of a Redis URL's scheme, tolerant.

    Args:
        scheme: such as `redis` or `rediss`.
    """
    base: Any = get_transport_cls(scheme)

    class Channel(base.Channel):  # type: ignore[misc] # kombu has no types
        def _brpop_read(self, **options: Any) -> Any:
            try:
                return super()._brpop_read(**options)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                log.warning("bell.refused", reason=f"{type(error).__name__}: {error}")
                return True

    return type("TolerantTransport", (base,), {"Channel": Channel})
