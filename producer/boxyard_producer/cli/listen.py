"""`boxyard listen`: what callbacks say, verified, as they come."""

from __future__ import annotations

import json
import signal
from typing import Annotated, Any

import typer
from rich.text import Text

from boxyard_schemas import EventType
from boxyard_schemas.words import utc_now

from ..listener import Arrival, Listener
from .terminal import note, out
from .webhook_secrets import find_secrets

_COLOURS = {EventType.SUCCEEDED: "green", EventType.FAILED: "red", EventType.DEAD: "red"}


def listen(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 9000,
    forward: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Pass every request on, and its answer back."),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            help="`whsec_…`, also several. Else BOXYARD_WEBHOOK_SECRET, "
            "else that of the stack in .boxyard here."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON document a line.")] = False,
) -> None:
    """Receive callbacks here, verify them and print what they say, until Ctrl-C."""
    tell = _tell_json if as_json else _tell
    with Listener(find_secrets(secret), tell, host=host, port=port, forward=forward) as listener:
        for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job ignores the first
            signal.signal(number, signal.default_int_handler)
        note(f"Listening on {listener.url}{f', passing on to {forward}' if forward else ''}")
        try:
            listener.serve()
        except KeyboardInterrupt:
            note("stopped")


def _tell(arrival: Arrival) -> None:
    words = [Text(f"{utc_now():%H:%M:%S}", style="dim"), *_describe(arrival)]
    words.append(Text(f"{arrival.size:,} B → {arrival.answer}", style="dim"))
    out.print(Text(" ").join(words), soft_wrap=True, highlight=False)


def _describe(arrival: Arrival) -> list[Text]:
    if arrival.event is None:
        error = arrival.error
        why = f"{error.reason}: {error.detail.splitlines()[0]}" if error else ""
        return [Text("refused", style="bold red"), Text(why, style="red")]
    event, counts = arrival.event, arrival.event.data.job.images
    words = [
        Text(event.type, style=_COLOURS.get(event.type, "yellow")),
        Text(event.data.job.id),
        Text(f"{counts.succeeded} of {counts.total} pictures"),
        Text(repr(event.id)[1:-1], style="dim"),
    ]
    return words + ([Text(f"again ({arrival.times})", style="cyan")] if arrival.times > 1 else [])


def _tell_json(arrival: Arrival) -> None:
    said: dict[str, Any] = {
        "verified": arrival.event is not None,
        "reason": arrival.error and arrival.error.reason,
        "detail": arrival.error and arrival.error.detail,
        "times": arrival.times,
        "size": arrival.size,
        "answer": int(arrival.answer),
        "seconds": round(arrival.seconds, 4),
        "event": arrival.event
        and arrival.event.model_dump(mode="json", exclude_none=True, by_alias=True),
    }
    out.out(json.dumps(said), highlight=False)
