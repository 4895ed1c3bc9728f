"""Fault 6, at random: the server dies under load."""

from __future__ import annotations

import time
from collections.abc import Callable

from chaos.faults import fault
from chaos.trial import Figures, Trial


@fault(6, "server dies before it sends the wake-up message")
def test_a_server_killed_at_random_moments_keeps_its_word(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """kill -9 of the server at random moments under load; callers ask again by their keys"""
    server, kills = trial.stack.server, scale(slice=2, full=50)
    with trial.load(per_s=100, threads=6):
        for _ in range(kills):
            time.sleep(trial.random.uniform(0.3, 1))
            server.kill()
            server.start()
            trial.stack.await_server(server)
    trial.conclude(figures)
    figures["kills"] = kills
