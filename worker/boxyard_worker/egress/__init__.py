"""The one way out: every request to an address that a caller named.

URLs enter, bytes and statuses leave. A name is resolved once, every address it has is checked
against the policy, and the connection goes to an address that was checked; so neither redirects
nor a name that changes its address lead inside. Vendor exceptions are translated here, once.
"""

from .client import Egress, Response
from .network import resolve
from .retry_after import read_retry_after
from .settings import EgressSettings

__all__ = ["Egress", "EgressSettings", "Response", "read_retry_after", "resolve"]
