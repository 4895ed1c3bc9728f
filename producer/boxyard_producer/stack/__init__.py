"""A whole Boxyard on one machine: Redis, server, workers, as processes of one parent.

Settings enter; a running stack and its credentials leave. Nothing here is imported by the client.
"""

from .credentials import Credentials
from .service import Service
from .settings import StackSettings
from .stack import Stack

__all__ = ["Credentials", "Service", "Stack", "StackSettings"]
