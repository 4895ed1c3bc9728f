"""A look at an installation. The environment enters; findings leave."""

from .examination import examine
from .finding import Finding

__all__ = ["Finding", "examine"]
