"""The place where samples go that have none.

torchvision's kernels turn a coordinate that is not a number into an address, and the process dies.
mmcv's own kernels count such a sample as outside the feature map, where everything is zero.
"""

OUTSIDE = -32768.0
"""Left of and above any feature map, in pixels; finite in half precision."""
