// A consumer in Node with the official Standard Webhooks package.
// BOXYARD_WEBHOOK_SECRET=whsec_… PORT=9000 npm start
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

// Several secrets, parted by spaces, while they rotate.
const webhooks = process.env.BOXYARD_WEBHOOK_SECRET.split(" ").map((each) => new Webhook(each));
const seen = new Set(); // a table with a unique column, where it must outlive the process
const KNOWN = ["succeeded", "failed", "cancelled", "expired", "dead"].map((end) => `job.${end}`);
const MAX_BYTES = 1 << 20; // far more than an event has
let ended = 0;

/** The event of a genuine callback; throws otherwise. */
function verify(body, headers) {
  let failure;
  for (const webhook of webhooks) {
    try {
      return webhook.verify(body, headers);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** The exact bytes: what is parsed and written again has another signature. */
async function read(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MAX_BYTES) throw new Error("too large");
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** What the event is good for: here, a count of the jobs that ended. */
function act(event) {
  console.log("acted", event.type, event.data.job.id);
  ended += 1;
}

async function receive(request, response) {
  let event;
  try {
    event = verify(await read(request), request.headers);
  } catch {
    response.writeHead(400).end();
    return;
  }
  const id = request.headers["webhook-id"];
  // A type that is not known here is nothing to act on, and nothing to be sent again.
  if (KNOWN.includes(event.type) && !seen.has(id)) {
    act(event);
    seen.add(id);
  }
  response.writeHead(204).end();
}

const server = createServer((request, response) => {
  if (request.method === "POST" && request.url === "/boxyard") receive(request, response);
  else response.writeHead(200, { "Content-Type": "text/plain" }).end(String(ended));
});
server.listen(Number(process.env.PORT ?? 9000), "127.0.0.1", () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
