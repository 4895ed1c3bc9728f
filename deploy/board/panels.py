"""Panels as Grafana's JSON has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Query = tuple[str, str]
"""PromQL, and the legend of what it gives."""

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH = 24


def figure(title: str, unit: str, query: str, **colours: float) -> Json:
    """One number, green but for the colours that it takes from a value on, as in `red=900`."""
    base = "red" if "green" in colours else "green"
    steps = [{"color": name, "value": value} for name, value in colours.items()]
    field = {
        "unit": unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": [{"color": base, "value": None}, *steps]},
    }
    options = {
        "colorMode": "background",
        "graphMode": "area",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    panel = _panel("stat", title, "", [(query, "")], field=field, options=options)
    return sized(panel, 3, 4)


def graph(title: str, unit: str, about: str, *queries: Query, **style: Any) -> Json:
    """Lines over time."""
    custom = {"fillOpacity": 10, "showPoints": "never", **style}
    field = {"unit": unit, "min": 0, "custom": custom}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel = _panel("timeseries", title, about, queries, field=field, options=options)
    return sized(panel, 8, 8)


def times(title: str, about: str, *queries: Query) -> Json:
    """Seconds, some of which may be a thousand times others: the scale is logarithmic."""
    panel = graph(title, "s", about, *queries, scaleDistribution={"type": "log", "log": 10})
    del panel["fieldConfig"]["defaults"]["min"]
    return panel


def bars(title: str, about: str, *queries: Query) -> Json:
    """Events of each minute; `none` stands there while nothing of the kind has happened."""
    stacked = {"mode": "normal", "group": "A"}
    panel = graph(
        title, "short", about, *queries, drawStyle="bars", fillOpacity=70, stacking=stacked
    )
    panel["fieldConfig"]["defaults"] |= {"noValue": "none", "decimals": 0}
    return panel | {"interval": "1m"}


def sized(panel: Json, width: int, height: int) -> Json:
    """In columns, of which the board has 24, and rows of 30 pixels."""
    return {**panel, "gridPos": {"w": width, "h": height}}


def arrange(rows: Mapping[str, Sequence[Json]]) -> Iterator[Json]:
    """All panels with a number and a place each, a heading before each row."""
    top = number = 0
    for heading, panels in rows.items():
        left, height = 0, 1
        title = {"type": "row", "title": heading, "collapsed": False, "panels": []}
        for panel in (sized(title, _WIDTH, 1), *panels):
            size = panel["gridPos"]
            if left + size["w"] > _WIDTH:
                left, top = 0, top + height
            height, number = size["h"], number + 1
            yield {**panel, "id": number, "gridPos": {**size, "x": left, "y": top}}
            left += size["w"]
        top += height


def _panel(
    kind: str, title: str, about: str, queries: Sequence[Query], *, field: Json, options: Json
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": SOURCE,
        "targets": [
            {"refId": name, "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for name, (expr, legend) in zip("ABCDEFGH", queries, strict=False)
        ],
        "fieldConfig": {"defaults": field, "overrides": []},
        "options": options,
    }
