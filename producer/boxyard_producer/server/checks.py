"""What may not even be recorded: over a limit, or plainly leading where callers may not go."""

from __future__ import annotations

from boxyard_ledger import Ledger
from boxyard_schemas import (
    Base64Image,
    Delivery,
    ImageSource,
    JobRequest,
    S3Image,
    UrlImage,
)
from boxyard_schemas.errors import NotFound, Permanent

from .problems import refuse
from .settings import ServerSettings


class Checks:
    """Looks a request over; the worker's egress checks again before it connects."""

    def __init__(self, settings: ServerSettings, ledger: Ledger) -> None:
        self._settings, self._ledger = settings, ledger
        self._policy = settings.address_policy()

    def check(self, tenant: str, request: JobRequest) -> None:
        """Refuses a job that could not be done.

        Raises:
            InvalidRequest: naming the member that does not fit.
        """
        most = self._settings.max_images_per_job
        if len(request.images) > most:
            raise refuse(
                "images", f"{len(request.images)} pictures; a job holds at most {most}: split it"
            )
        for index, image in enumerate(request.images):
            self._check_image(f"images.{index}", image)
        self._check_delivery(tenant, request.delivery)

    def check_url(self, where: str, url: str) -> None:
        """Refuses a URL that plainly leads inside.

        Raises:
            InvalidRequest: naming the member.
        """
        try:
            self._policy.check_url(url)
        except Permanent as error:
            raise refuse(where, error.detail) from error

    def _check_image(self, where: str, image: ImageSource) -> None:
        match image:
            case UrlImage():
                self.check_url(f"{where}.url", str(image.url))
            case S3Image():
                self._check_bucket(f"{where}.s3", image.s3)
            case Base64Image():
                self._check_size(f"{where}.base64", len(image.base64))

    def _check_delivery(self, tenant: str, delivery: Delivery) -> None:
        if delivery.callback:
            self.check_url("delivery.callback.url", str(delivery.callback.url))
        if delivery.s3:
            self._check_bucket("delivery.s3", delivery.s3)
        if delivery.endpoint:
            try:
                self._ledger.endpoints.get(tenant, delivery.endpoint)
            except NotFound as error:
                raise refuse("delivery.endpoint", error.detail) from error

    def _check_bucket(self, where: str, uri: str) -> None:
        bucket = uri.removeprefix("s3://").partition("/")[0]
        if bucket not in self._ledger.settings.allowed_buckets:
            raise refuse(where, f"bucket {bucket!r} is not in BOXYARD_ALLOWED_BUCKETS")

    def _check_size(self, where: str, size: int) -> None:
        most = self._settings.max_upload_bytes
        if size > most:
            raise refuse(where, f"{size} bytes; an image has at most {most} bytes")
