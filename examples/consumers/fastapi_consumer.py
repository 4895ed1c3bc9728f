"""A consumer with FastAPI, of as many processes as you like: Redis remembers what was seen.

BOXYARD_WEBHOOK_SECRET=whsec_… uvicorn fastapi_consumer:app --app-dir examples/consumers --port 9000
"""

import os
from typing import Annotated

import redis
from fastapi import Depends, FastAPI, Request, Response

from boxyard_producer.webhooks import RedisDeduplication, WebhookError, WebhookEvent, verify

app = FastAPI()
secrets = os.environ["BOXYARD_WEBHOOK_SECRET"].split()  # several while they rotate
memory = redis.Redis.from_url(os.environ.get("REDIS_URL", "redis://localhost:6379"))
seen = RedisDeduplication(memory, lease_s=60)


async def read_body(request: Request) -> bytes:
    """The exact bytes: what is parsed and written again has another signature."""
    return await request.body()


@app.post("/boxyard", status_code=204)
def receive(request: Request, body: Annotated[bytes, Depends(read_body)]) -> None:
    """One event; anything but 2xx makes it come again."""
    event = verify(request.headers, body, secrets)
    with seen.once(event.id) as first:
        if first:
            act(event)


@app.exception_handler(WebhookError)
def refuse(_: Request, error: WebhookError) -> Response:
    """Says why an event is not acted on: it is not genuine, or of a kind that is not known here."""
    return Response(error.detail, error.status)


def act(event: WebhookEvent) -> None:
    """What the event is good for: here, a count of the jobs that ended."""
    memory.incr(f"ended:{event.data.job.state}")


@app.get("/ended")
def count() -> int:
    """How many jobs have ended: a probe for `boxyard consumer-test`."""
    return sum(int(memory.get(key) or 0) for key in memory.scan_iter("ended:*"))
