"""What Prometheus of the stack watches, and what Grafana of the stack shows."""

from __future__ import annotations

import configparser
import json
import re
import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import yaml

from compose.board import blank_panels, read_panels

from .conftest import ROOT, Services

GRAFANA = ROOT / "deploy" / "grafana"
WRITTEN = (GRAFANA / "boards" / "boxyard.json").read_text()
board = runpy.run_path(str(ROOT / "deploy" / "board"))
PROMETHEUS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())


@pytest.fixture(scope="module")
def panels() -> list[dict[str, Any]]:
    return list(board["arrange"](board["ROWS"]))


def test_the_board_is_what_the_code_says_today() -> None:
    assert board["write_board"]() == WRITTEN, "run `make board`"


def test_no_panel_lies_on_another_and_each_has_a_title_of_its_own(
    panels: list[dict[str, Any]],
) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken, panel["title"]
        taken |= cells
    titles = [panel["title"] for panel in panels]
    assert len(titles) == len(set(titles))


def test_every_process_that_shows_figures_is_watched_by_a_name_that_stands_for_its_replicas(
    services: Services,
) -> None:
    (job,) = PROMETHEUS["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    shown = {
        name: service["environment"]["BOXYARD_METRICS_PORT"]
        for name, service in services.items()
        if "BOXYARD_METRICS_PORT" in service.get("environment", {}) and name != "bucket"
    }
    assert set(shown.values()) == {str(found["port"])}
    names = {
        alias
        for name in shown
        for alias in (aliases(services[name]) if "detect" in name else [name])
    }
    assert names == set(found["names"])
    assert all("inside" in services[name]["networks"] for name in shown)
    assert "inside" in services["prometheus"]["networks"]


def aliases(service: dict[str, Any]) -> list[str]:
    """Other names on the network inside."""
    named: list[str] = service["networks"]["inside"]["aliases"]
    return named


def test_alerts_watch_the_jobs_that_prometheus_makes() -> None:
    (job,) = PROMETHEUS["scrape_configs"]
    (label,) = job["relabel_configs"]
    assert (label["target_label"], label["replacement"]) == ("job", "boxyard-$1")
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
    watched = set(re.findall(r'job=~?"([^"]+)"', alerts + WRITTEN.replace("\\", "")))
    assert watched == {"boxyard.*"}
    assert PROMETHEUS["rule_files"] == ["alerts.yml"]


def test_what_grafana_is_told_lies_where_it_looks(services: Services) -> None:
    mounts = dict(volume.split(":")[:2] for volume in services["grafana"]["volumes"])
    places = {inside: ROOT / outside for outside, inside in mounts.items() if "/" in outside}
    settings = configparser.ConfigParser()
    settings.read(places["/etc/grafana/grafana.ini"])
    (boards,) = yaml.safe_load((GRAFANA / "boards" / "boards.yml").read_text())["providers"]
    assert places[boards["options"]["path"]] == GRAFANA / "boards"
    home = settings["dashboards"]["default_home_dashboard_path"]
    assert places[home.rpartition("/")[0]] / home.rpartition("/")[2] == board["BOARD"]
    sources = places["/etc/grafana/provisioning/datasources"] / "prometheus.yml"
    (source,) = yaml.safe_load(sources.read_text())["datasources"]
    assert source["uid"] == "boxyard"
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"].startswith(PROMETHEUS["global"]["scrape_interval"])


def test_grafana_knows_who_asks_and_asks_nobody() -> None:
    settings = configparser.ConfigParser()
    settings.read(GRAFANA / "grafana.ini")
    assert not settings.getboolean("auth.anonymous", "enabled")
    assert not any(settings.getboolean("analytics", name) for name in settings["analytics"])
    assert settings.getboolean("plugins", "preinstall_disabled")
    assert not settings.getboolean("news", "news_feed_enabled")


@contextmanager
def answering(status: int, *values: str) -> Iterator[str]:
    """A Prometheus that has the same series for whatever it is asked."""
    series = [{"metric": {}, "values": [[0, value]]} for value in values]
    body = json.dumps({"data": {"result": series}}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_panel_without_numbers_is_noticed_unless_it_counts_what_went_wrong() -> None:
    titles = [panel["title"] for panel in read_panels()]
    calm = [
        panel["title"]
        for panel in read_panels()
        if panel["type"] != "stat"
        and panel["fieldConfig"]["defaults"]["custom"].get("drawStyle") == "bars"
    ]
    with answering(200, "NaN", "0") as prometheus:
        assert blank_panels(prometheus) == []
    for values in ((), ("NaN",)):
        with answering(200, *values) as prometheus:
            assert blank_panels(prometheus) == [title for title in titles if title not in calm]
    with answering(400) as prometheus:
        assert blank_panels(prometheus) == titles


def test_each_alert_has_a_case_that_brings_it_about() -> None:
    """Whether it comes so, the compose test asks Prometheus itself."""
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    cases = yaml.safe_load((ROOT / "tests" / "compose" / "alerts.yml").read_text())["tests"]
    asked = [each for case in cases for each in case["alert_rule_test"]]
    assert {each["alertname"] for each in asked if each["exp_alerts"]} == {
        rule["alert"] for group in rules["groups"] for rule in group["rules"]
    }
