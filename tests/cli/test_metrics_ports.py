"""One machine, one port a process."""

from __future__ import annotations

from boxyard_producer.stack.commands import metrics_ports

NAMES = ("server", "detect", "deliver", "sweep")


def ports(**environment: str) -> list[str | None]:
    found = metrics_ports(environment, NAMES)
    return [found[name].get("BOXYARD_METRICS_PORT") for name in NAMES]


def test_the_processes_of_one_machine_take_ports_in_a_row():
    assert ports(BOXYARD_METRICS_PORT="9100") == ["9100", "9101", "9102", "9103"]


def test_without_a_port_or_with_any_port_nothing_is_said_to_them():
    assert ports() == [None] * 4
    assert ports(BOXYARD_METRICS_PORT="0") == [None] * 4
    assert ports(BOXYARD_METRICS_PORT="") == [None] * 4
