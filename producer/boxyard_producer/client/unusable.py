"""Images that cannot be sent, noted one by one so that the others are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from boxyard_schemas import ImageSource, UploadImage
from boxyard_schemas.errors import InvalidRequest, TooLarge, UnknownUpload, UnusableImages

from .files import shorten

_QUOTED = 10
_PLACE = re.compile(r"images\.(\d+)\b")


@dataclass
class Unusable:
    """Which images of a submission cannot be used, and why."""

    reasons: dict[int, str] = field(default_factory=dict)
    """By the image's number in the submission, from 0."""

    @contextmanager
    def note(self, number: int) -> Iterator[None]:
        """Inside, what is wrong with one image is noted in place of being raised."""
        try:
            yield
        except OSError as error:
            said = error.strerror or str(error)
            self.reasons[number] = f"{error.filename}: {said}" if error.filename else said
        except (InvalidRequest, TooLarge) as error:
            self.reasons[number] = error.detail
        except TypeError as error:
            self.reasons[number] = str(error)

    def take_out(
        self, sources: dict[int, ImageSource], error: InvalidRequest | UnknownUpload
    ) -> bool:
        """Note the images that the server refused, and take them out of what is submitted.

        Args:
            sources: of one job, by their number in the submission.
            error: the server's answer.

        Returns:
            Whether the answer is about some images alone, so that the others may be sent again.
        """
        refused = _refused(sources, error)
        for number, why in refused.items():
            self.reasons[number] = f"{_name(sources.pop(number))}: {why}"
        return bool(refused)

    def raise_any(self, consequence: str) -> None:
        """Raise what was noted, if anything.

        Args:
            consequence: what became of the submission.

        Raises:
            UnusableImages: with every image, its number and what is wrong with it.
        """
        if not self.reasons:
            return
        found = sorted(self.reasons.items())
        quoted = "; ".join(f"image {number}: {why}" for number, why in found[:_QUOTED])
        rest = f"; and {len(found) - _QUOTED} more" if len(found) > _QUOTED else ""
        raise UnusableImages(
            f"{len(found)} of the images cannot be used, {consequence}. {quoted}{rest}",
            images=[{"index": number, "detail": why} for number, why in found],
        )


def _refused(
    sources: Mapping[int, ImageSource], error: InvalidRequest | UnknownUpload
) -> dict[int, str]:
    """The images that an answer is about; none where it is about something else too."""
    if isinstance(error, UnknownUpload):
        unknown = error.data.get("upload")
        return {
            number: error.detail
            for number, source in sources.items()
            if isinstance(source, UploadImage) and source.upload == unknown
        }
    faults = error.data.get("errors") or ()
    places = [_PLACE.match(str(fault.get("where"))) for fault in faults]
    numbers = [*sources]
    return {
        numbers[int(place[1])]: str(fault.get("what"))
        for fault, place in zip(faults, places, strict=True)
        if place and all(places)
    }


def _name(source: ImageSource) -> str:
    """What an error calls an image that a worker could read."""
    members = source.model_dump(mode="json", exclude={"base64", "reference"})
    return source.reference or shorten(" ".join(map(str, members.values())) or "base64")
