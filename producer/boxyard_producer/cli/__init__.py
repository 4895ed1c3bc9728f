"""The command line `boxyard`: the client by hand, a stack on one machine, and a doctor."""

from .application import main

__all__ = ["main"]
