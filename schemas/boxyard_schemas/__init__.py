"""The words: what the rooms and the outside say to each other.

Jobs, predictions, events, errors, the AzureML contract and the queue names, as frozen pydantic
models. Only pydantic may enter; JSON Schema and OpenAPI leave (`schemas/generated/`).
"""

from .azureml import InputData, ScoredBox, ScoredImage, ScoreRequest, ScoreResponse
from .deliveries import JobDelivery, JobDeliveryAttempt, JobDeliveryList
from .endpoints import Endpoint, EndpointCreated, EndpointList, EndpointRequest
from .events import MAX_EVENT_BYTES, Event, EventData
from .ids import DeliveryId, EndpointId, JobId, Tenant, UploadId, new_id
from .images import Base64Image, ImageSource, S3Image, StoredImage, UploadImage, UrlImage
from .jobs import (
    Callback,
    Delivery,
    EventType,
    ImageCounts,
    Job,
    JobPage,
    JobRequest,
    JobState,
    Parameters,
    Priority,
    Upload,
)
from .models import (
    DEMO_MODEL,
    Model,
    ModelList,
    ModelWorker,
    aliases_of,
    known_models,
    resolve_model,
)
from .predictions import (
    Box,
    Detection,
    ImageFailure,
    ImageInfo,
    ImageOutcome,
    ImageSuccess,
    JobResult,
    PixelBox,
    Provenance,
    RleMask,
    Timings,
)
from .queues import DETECT_TASK, Bell, detect_queue

__all__ = [
    "DEMO_MODEL",
    "DETECT_TASK",
    "MAX_EVENT_BYTES",
    "Base64Image",
    "Bell",
    "Box",
    "Callback",
    "Delivery",
    "DeliveryId",
    "Detection",
    "Endpoint",
    "EndpointCreated",
    "EndpointId",
    "EndpointList",
    "EndpointRequest",
    "Event",
    "EventData",
    "EventType",
    "ImageCounts",
    "ImageFailure",
    "ImageInfo",
    "ImageOutcome",
    "ImageSource",
    "ImageSuccess",
    "InputData",
    "Job",
    "JobDelivery",
    "JobDeliveryAttempt",
    "JobDeliveryList",
    "JobId",
    "JobPage",
    "JobRequest",
    "JobResult",
    "JobState",
    "Model",
    "ModelList",
    "ModelWorker",
    "Parameters",
    "PixelBox",
    "Priority",
    "Provenance",
    "RleMask",
    "S3Image",
    "ScoreRequest",
    "ScoreResponse",
    "ScoredBox",
    "ScoredImage",
    "StoredImage",
    "Tenant",
    "Timings",
    "Upload",
    "UploadId",
    "UploadImage",
    "UrlImage",
    "aliases_of",
    "detect_queue",
    "known_models",
    "new_id",
    "resolve_model",
]
