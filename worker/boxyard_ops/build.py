"""What mmcv's environment report asks about the compiled half."""

import torch
import torchvision

__all__ = ["get_compiler_version", "get_compiling_cuda_version"]


def get_compiler_version() -> str:
    """Name what stands in for the compiler: the version of torchvision."""
    return f"none (torchvision {torchvision.__version__})"


def get_compiling_cuda_version() -> str:
    """Name the CUDA version that torch, and so torchvision's kernels, were built with."""
    return torch.version.cuda or "not available"
