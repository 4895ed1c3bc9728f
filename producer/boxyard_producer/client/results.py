"""A job's result as callers have it: the words of the contract, and other libraries' forms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from boxyard_schemas import ImageFailure, ImageSuccess, JobResult
from boxyard_schemas.errors import SetupError
from boxyard_schemas.installation import install_command

from .coco import CocoInstance, write_coco

if TYPE_CHECKING:
    from supervision import Detections

    from .arrays import Arrays


class SeenImage(ImageSuccess):
    """A picture that was read, and its instances in other forms.

    Boxes are in pixels of the upright picture. Masks of the full size take a byte a pixel and
    instance; `docs/client.md` says how exact they are.
    """

    def to_numpy(self, *, masks: bool = True) -> Arrays:
        """The instances as numpy arrays, best score first.

        Args:
            masks: whether they are wanted, where there are any.

        Raises:
            SetupError: numpy is not installed.
        """
        with _extra("arrays"):
            from .arrays import write_arrays  # noqa: PLC0415 - numpy comes with an extra
        return write_arrays(self, masks=masks)

    def to_supervision(self, *, masks: bool = True) -> Detections:
        """The instances as supervision has them, with labels as `class_name`.

        Args:
            masks: whether they are wanted, where there are any.

        Raises:
            SetupError: supervision is not installed.
        """
        with _extra("supervision"):
            from .supervised import write_detections  # noqa: PLC0415 - comes with an extra
        return write_detections(self, masks=masks)

    def to_coco(
        self, image_id: int = 0, categories: Mapping[str, int] | None = None
    ) -> list[CocoInstance]:
        """The instances as entries of a COCO result file; needs no other library.

        Args:
            image_id: of the picture in the set.
            categories: ids by label; the model's own label ids by default.

        Raises:
            KeyError: a label is none of the categories.
        """
        return write_coco(self, image_id, categories)


class Result(JobResult):
    """What a model found in a job's pictures, in the order of the request.

    The word of an event becomes one by `Result.model_validate(word, from_attributes=True)`.
    """

    images: tuple[Annotated[SeenImage | ImageFailure, Field(discriminator="status")], ...]

    @property
    def seen(self) -> tuple[SeenImage, ...]:
        """The pictures that were read."""
        return tuple(image for image in self.images if isinstance(image, SeenImage))


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise SetupError(
            f"This form needs {error.name}, which is not installed: {install_command(name)}."
        ) from error
