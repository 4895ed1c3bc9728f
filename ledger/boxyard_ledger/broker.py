"""kombu's Redis transport, reduced to one list for each queue: no other key is read or written.

Celery sends to a queue by its name, and acknowledges nothing here. So the bindings of exchanges and
the unacknowledged messages, which kombu keeps in keys of its own, have no use. A value of another
type in such a key would end every worker and fail every message.
"""

from __future__ import annotations

from typing import Any

import redis
from kombu.transport import get_transport_cls

from .refusals import is_wrong_type
from .scripts import read_script


def queue_transport(scheme: str) -> type[Any]:
    """The transport over Redis.

    Args:
        scheme: of the broker's URL, such as `redis` or `rediss`.
    """
    base: Any = get_transport_cls(scheme)

    class QoS(base.Channel.QoS):
        def restore_visible(self, *_: object, **__: object) -> None:
            """Does nothing: no message is ever unacknowledged."""

    class Channel(base.Channel):
        def _queue_bind(self, *_: object) -> None:
            """Does nothing: the default exchange needs no binding."""

        def _size(self, queue: str) -> int:
            """Says nothing: it is asked when a queue is declared, and the answer is not used."""
            return 0

        def _brpop_read(self, **options: Any) -> Any:
            try:
                return super()._brpop_read(**options)
            except redis.ResponseError as error:
                if not is_wrong_type(error):
                    raise
            _, script = read_script("run_command")
            with self.conn_or_acquire() as client:
                for queue in self.active_queues:
                    client.eval(script, 0, "LLEN", queue)
            return True

        def basic_ack(self, delivery_tag: str, multiple: bool = False) -> None:
            """Does nothing."""

        def basic_reject(self, delivery_tag: str, requeue: bool = False) -> None:
            """Does nothing."""

    Channel.QoS = QoS

    class Named(type):
        def __str__(cls) -> str:
            """As Celery logs the broker: `redis://…`, and not the class."""
            return scheme

    class Transport(base, metaclass=Named):
        """Named after the scheme."""

    Transport.Channel = Channel
    return Transport
