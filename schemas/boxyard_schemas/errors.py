"""Every error that Boxyard raises or answers with.

BoxyardError
├── RequestError                 the caller's to mend; answered as a problem document
│   ├── InvalidRequest           422  invalid-request
│   │   └── UnusableImages       422  unusable-images      (images)
│   ├── Unauthorized             401  unauthorized
│   ├── Forbidden                403  forbidden
│   ├── NotFound                 404  not-found
│   │   ├── UnknownJob           404  unknown-job
│   │   ├── UnknownModel         404  unknown-model
│   │   └── UnknownUpload        404  unknown-upload
│   ├── Conflict                 409  conflict
│   │   ├── IdempotencyConflict  409  idempotency-conflict
│   │   ├── NotFinished          409  not-finished
│   │   └── Unreadable           409  unreadable-record
│   ├── TooLarge                 413  too-large
│   ├── TooSlow                  408  too-slow
│   └── TooManyRequests          429  too-many-requests    (retry_after_s)
├── ServiceError                 the service's; the same request may work later
│   ├── Unavailable              503  unavailable          (retry_after_s)
│   └── DeadlineExceeded         504  deadline-exceeded    (job)
├── SetupError                   the operator's: what is wrong and how to mend it
├── WebhookError                 a consumer's: a callback not to act on; answer it `status`
│   ├── WebhookInvalid           400  webhook-invalid      (reason)
│   │   └── UnknownEvent         202  unknown-event        (reason)
│   └── EventInProgress          409  event-in-progress
└── WorkError                    what went wrong with one image or one delivery
    ├── Retryable                may work when tried again
    └── Permanent                will not
"""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field


class Problem(BaseModel):
    """An RFC 9457 problem document; `code` is stable, `detail` is for people."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str = Field(default="about:blank", description="URI of the problem's kind.")
    title: str = Field(description="The kind, in words.")
    status: int = Field(description="HTTP status.")
    code: str = Field(description="The kind, for programs; it never changes.")
    detail: str = Field(description="What was wrong, where, and what to do.")
    instance: str | None = Field(default=None, description="Path of the request.")


class BoxyardError(Exception):
    """Root of the tree.

    Attributes:
        detail: what was wrong, where, and what to do.
        data: further facts, by name; they become members of the problem document.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal-error"
    title: ClassVar[str] = "Internal error"

    def __init__(self, detail: str, **data: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.data = data

    def problem(self, instance: str | None = None) -> Problem:
        """The error as a problem document."""
        return Problem(
            title=self.title,
            status=self.status,
            code=self.code,
            detail=self.detail,
            instance=instance,
            **self.data,
        )


class RequestError(BoxyardError):
    """The caller's to mend."""

    status, code, title = 400, "bad-request", "Bad request"


class InvalidRequest(RequestError):
    """The body, a parameter or a header does not fit the contract."""

    status, code, title = 422, "invalid-request", "Invalid request"


class UnusableImages(InvalidRequest):
    """The client cannot send some images; `images` has the number of each and what is wrong."""

    code, title = "unusable-images", "Unusable images"


class Unauthorized(RequestError):
    """No API key, or one that is not known."""

    status, code, title = 401, "unauthorized", "Unauthorized"


class Forbidden(RequestError):
    """The key is known and may not do this."""

    status, code, title = 403, "forbidden", "Forbidden"


class NotFound(RequestError):
    """There is no such thing, or it belongs to another tenant."""

    status, code, title = 404, "not-found", "Not found"


class UnknownJob(NotFound):
    """No job of this tenant has the id."""

    code, title = "unknown-job", "Unknown job"


class UnknownModel(NotFound):
    """No model answers to the name; `suggestions` holds near ones."""

    code, title = "unknown-model", "Unknown model"


class UnknownUpload(NotFound):
    """No upload of this tenant has the id."""

    code, title = "unknown-upload", "Unknown upload"


class Conflict(RequestError):
    """The thing is not in a state that allows this."""

    status, code, title = 409, "conflict", "Conflict"


class IdempotencyConflict(Conflict):
    """The idempotency key was used with another body."""

    code, title = "idempotency-conflict", "Idempotency key used with another body"


class NotFinished(Conflict):
    """The job has no result yet."""

    code, title = "not-finished", "Job not finished"


class Unreadable(Conflict):
    """A stored record cannot be read by this process; the operator can look at it.

    Its `cause` is a stable code, such as `unreadable` or `version-2`.
    """

    code, title = "unreadable-record", "Unreadable record"


class TooLarge(RequestError):
    """The body or the upload is over its limit."""

    status, code, title = 413, "too-large", "Too large"


class TooSlow(RequestError):
    """The body did not come in time."""

    status, code, title = 408, "too-slow", "Too slow"


class TooManyRequests(RequestError):
    """A quota or a bound is reached; `retry_after_s` says when to come back."""

    status, code, title = 429, "too-many-requests", "Too many requests"


class ServiceError(BoxyardError):
    """The service's; the same request may work later."""

    status, code, title = 500, "internal-error", "Internal error"


class Unavailable(ServiceError):
    """Redis or the blob store cannot take work now; `retry_after_s` says when to come back."""

    status, code, title = 503, "unavailable", "Service unavailable"


class DeadlineExceeded(ServiceError):
    """The answer did not come in time; `job` names the cancelled job."""

    status, code, title = 504, "deadline-exceeded", "Deadline exceeded"


class SetupError(BoxyardError):
    """The operator's to mend: a setting, a missing extra, an unfit Redis."""

    code, title = "setup-error", "Setup error"


class WebhookError(BoxyardError):
    """A callback that its consumer does not act on; `status` is what to answer."""

    status, code, title = 400, "webhook-error", "Webhook error"


class WebhookInvalid(WebhookError):
    """It does not come from the service, or not in time, or cannot be read.

    Args:
        reason: stable code, such as `signature-wrong`.
        detail: what was wrong, for the consumer's log.
    """

    code, title = "webhook-invalid", "Invalid webhook"

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail, reason=reason)
        self.reason = reason


class UnknownEvent(WebhookInvalid):
    """It is genuine, and of a kind that this version does not know: nobody waits for it here."""

    status, code, title = 202, "unknown-event", "Unknown event"


class EventInProgress(WebhookError):
    """Another one acts on the event now; if that fails, the event comes again."""

    status, code, title = 409, "event-in-progress", "Event in progress"


class WorkError(BoxyardError):
    """What went wrong with one image or one delivery; `reason` is a stable code.

    Args:
        reason: stable code, such as `undecodable-image`.
        detail: what was wrong, where, and what to do.
    """

    code, title = "work-error", "Work error"

    def __init__(self, reason: str, detail: str, **data: Any) -> None:
        super().__init__(detail, **data)
        self.reason = reason


class Retryable(WorkError):
    """May work when tried again."""


class Permanent(WorkError):
    """Will not work, however often it is tried."""
