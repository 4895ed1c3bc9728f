"""A callback consumer: verifies each event with the official library and acts on it once."""

import os

from fastapi import FastAPI, HTTPException, Request
from standardwebhooks import Webhook, WebhookVerificationError

app = FastAPI()
webhook = Webhook(os.environ["BOXYARD_WEBHOOK_SECRET"])
seen: set[str] = set()  # a table with a unique column, where it must outlive the process


@app.post("/boxyard", status_code=204)
async def receive(request: Request) -> None:
    """One event; an answer other than 2xx makes it come again."""
    try:
        event = webhook.verify(await request.body(), dict(request.headers))
    except (WebhookVerificationError, ValueError):  # ValueError: a header out of shape
        raise HTTPException(401) from None
    if request.headers["webhook-id"] not in seen:  # events come at least once
        print("verified", event["type"], event["data"]["job"]["id"], flush=True)
        seen.add(request.headers["webhook-id"])
