"""`python -m boxyard_worker.detector SOCKET PARENT`: the model child; the worker starts it."""

import sys

from boxyard_worker.detector.child import serve

serve(int(sys.argv[1]), int(sys.argv[2]))
