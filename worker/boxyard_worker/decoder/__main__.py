from __future__ import annotations

import sys

from boxyard_worker.decoder.child import serve

serve(*(int(argument) for argument in sys.argv[1:]))
