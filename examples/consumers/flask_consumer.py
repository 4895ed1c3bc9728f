"""A consumer with Flask that acts exactly once: in_sql.py writes id and act in one transaction.

BOXYARD_WEBHOOK_SECRET=whsec_… flask --app examples/consumers/flask_consumer.py run --port 9000
"""

import os
from contextlib import closing
from pathlib import Path

from flask import Flask, request

from boxyard_producer.webhooks import WebhookError, verify
from in_sql import act, open_database

app = Flask(__name__)
secrets = os.environ["BOXYARD_WEBHOOK_SECRET"].split()  # several while they rotate
path = Path(os.environ.get("CONSUMER_DATABASE", "consumer.sqlite"))


@app.post("/boxyard")
def receive() -> tuple[str, int]:
    """One event; anything but 2xx makes it come again."""
    act(path, verify(request.headers, request.get_data(), secrets))
    return "", 204


@app.errorhandler(WebhookError)
def refuse(error: WebhookError) -> tuple[str, int]:
    """Says why an event is not acted on: it is not genuine, or of a kind that is not known here."""
    return error.detail, error.status


@app.get("/ended")
def count() -> str:
    """How many jobs have ended: a probe for `boxyard consumer-test`."""
    with closing(open_database(path)) as database:
        return str(database.execute("SELECT count(*) FROM endings").fetchone()[0])
