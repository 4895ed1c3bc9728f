"""Does a consumer of callbacks do what it must? Its URL and secrets enter; findings leave."""

from .cases import Case, make_cases
from .trial import Finding, Trial

__all__ = ["Case", "Finding", "Trial", "make_cases"]
