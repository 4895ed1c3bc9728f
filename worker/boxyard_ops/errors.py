"""What the operators raise.

NotImplementedError
└── OperatorMissing   mmcv asked for an operator that this package does not have
"""


class OperatorMissing(NotImplementedError):
    """An operator of mmcv that is not written here was called.

    `operator` is its name in `mmcv._ext`.
    """

    def __init__(self, operator: str) -> None:
        self.operator = operator
        super().__init__(
            f"mmcv's operator {operator!r} is not implemented on torchvision. Install an mmcv "
            "with compiled operators in place of mmcv-lite (it is used by itself where it is "
            "found), or choose a model that does not need this operator."
        )
