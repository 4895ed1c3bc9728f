"""`boxyard up`: the whole stack in the foreground."""

from __future__ import annotations

import signal
import time
from ipaddress import ip_network
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Annotated

import typer
from rich.markup import escape

from boxyard_schemas import DEMO_MODEL

from ..stack import Credentials, Stack, StackSettings
from ..stack.credentials import DEFAULT_DATA
from ..stack.environment import operators_environment
from .terminal import say

_MB = 1_000_000
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    model: Annotated[str, typer.Option(help="What the detect worker serves.")] = DEMO_MODEL,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="The model's safetensors, or `random` to try a model without."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="`cpu` or `cuda:N`.")] = "cpu",
    data: Annotated[Path, typer.Option(help="Everything that is kept.")] = DEFAULT_DATA,
    allow_network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR", help="Pictures and callbacks may be there though it is not global."
        ),
    ] = None,
    log_mb: Annotated[
        int, typer.Option(min=1, help="Megabytes of a log; the one before is kept beside it.")
    ] = StackSettings.log_bytes // _MB,
    new_credentials: Annotated[
        bool,
        typer.Option("--new-credentials", help="Make new keys: those in the data were lost."),
    ] = False,
    cut_damaged_file: Annotated[
        bool,
        typer.Option(
            "--cut-damaged-file",
            help="Cut Redis' file where it is damaged; what was accepted after that is lost.",
        ),
    ] = False,
    new_ledger: Annotated[
        bool,
        typer.Option(
            "--new-ledger",
            help="Begin with an empty ledger: the one in the data was lost. Redis' files are set "
            "aside.",
        ),
    ] = False,
    detector: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run Redis, the server and the workers here until Ctrl-C; restart what dies."""
    environment, other = operators_environment()
    if other and other != data.resolve():
        _tell(
            f"This shell has read the environment of the stack in {other}; the stack in {data} "
            "starts with a Redis and blobs of its own."
        )
    settings = StackSettings(
        host=host,
        port=port,
        model=model,
        weights=weights,
        device=device,
        data=data,
        allow_networks=tuple(_network(each) for each in allow_network or ()),
        detector=detector,
        log_bytes=log_mb * _MB,
        redis_url=environment.get("BOXYARD_REDIS_URL") or None,
        environment=environment,
        new_credentials=new_credentials,
        cut_damaged_file=cut_damaged_file,
        new_ledger=new_ledger,
    )
    began = time.monotonic()
    with Stack(settings, _tell) as stack:
        stop_on_signals(stack.stopping)
        credentials = stack.start()
        if not stack.stopping.is_set():
            _welcome(credentials, settings, time.monotonic() - began)
        stack.watch()
        _tell("stopping")
    _tell("stopped")


def stop_on_signals(stopping: Event) -> None:
    """Has a thread set the event: a handler may have interrupted who holds the event's lock."""
    heard: SimpleQueue[int] = SimpleQueue()

    def stop() -> None:
        heard.get()
        stopping.set()

    Thread(target=stop, name="signals", daemon=True).start()
    for number in _STOPPING:
        signal.signal(number, lambda number, frame: heard.put(number))


def _network(cidr: str) -> str:
    try:
        return str(ip_network(cidr))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--allow-network") from error


def _tell(line: str) -> None:
    say(f"[dim]{escape(line)}[/]")


def _welcome(credentials: Credentials, settings: StackSettings, seconds: float) -> None:
    model = escape(settings.model)
    say(f"\n[bold green]Boxyard is up[/] after {seconds:.0f} s, and {model} is warm.\n")
    say(f"Address:        {credentials.url}  (the API's documentation: {credentials.url}/docs)")
    say(f"API key: {credentials.api_key}")
    say(f"webhook secret: {credentials.webhook_secret}")
    say("\nNext, from another terminal here:")
    say(f"  . {escape(str(settings.data / 'env'))}    # gives that shell all of this")
    say(f"  boxyard submit PICTURE --model {model} --wait")
    say("Ctrl-C stops everything; what is accepted goes on at the next start.\n")
