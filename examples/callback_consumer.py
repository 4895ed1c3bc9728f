"""A callback consumer: verifies every event with the official library and acts on each once."""

import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["BOXYARD_WEBHOOK_SECRET"])
seen: set[str] = set()


class Consumer(BaseHTTPRequestHandler):
    """Answers 204 to what is signed by Boxyard, 401 to everything else."""

    timeout = 10  # seconds: an idle caller must not hold up the others

    def do_POST(self) -> None:
        """One event."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = webhook.verify(body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError):  # ValueError: a header out of shape
            return self.send_error(401)
        if self.headers["webhook-id"] not in seen:  # events come at least once
            seen.add(self.headers["webhook-id"])
            print("verified", event["type"], event["data"]["job"]["id"], flush=True)
        self.send_response(204)
        return self.end_headers()


server = HTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Consumer)
print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
