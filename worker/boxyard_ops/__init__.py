"""mmcv's compiled operators on torchvision's kernels: no compiler, any current torch.

`mmcv-lite` ships the Python half of `mmcv.ops`; the half that is missing is the extension module
`mmcv._ext`. After `install()` the import system makes that module from this package. What enters
are mmcv's own calls, with its names and argument order; what leaves are tensors. An operator that
is not written raises `OperatorMissing`. Importing this package imports neither torch nor mmcv.
"""

from boxyard_ops.errors import OperatorMissing
from boxyard_ops.extension import Provider, install

__all__ = ["OperatorMissing", "Provider", "install"]
