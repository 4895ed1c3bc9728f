"""The Python client: pictures in, typed predictions out.

What is sent and how an answer is read stand once, in `calls`; `AsyncClient` awaits it and
`Client` runs the same code over blocking I/O.
"""

from .asynchronous import AsyncClient
from .blocking import Client
from .images import Image
from .options import JobOptions, ModelOptions
from .results import Result, SeenImage
from .retries import Retries

__all__ = [
    "AsyncClient",
    "Client",
    "Image",
    "JobOptions",
    "ModelOptions",
    "Result",
    "Retries",
    "SeenImage",
]
