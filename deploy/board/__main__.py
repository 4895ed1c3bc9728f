"""Writes deploy/grafana/boards/boxyard.json, the board of a stack for whoever is woken at night.

`make board` runs it; a test fails when the file differs from what stands here.
"""

from __future__ import annotations

import json
from pathlib import Path

from panels import SOURCE, Json, arrange, bars, figure, graph, sized, times
from queries import MODEL, SERVES, each_second, events, most, or_none, quantile

BOARD = Path(__file__).parents[1] / "grafana" / "boards" / "boxyard.json"
ENDED, ATTEMPTS = "boxyard_jobs_ended_total", "boxyard_delivery_attempts_total"
ROUND = "boxyard_sweep_last_seconds"
WARM, OURS = f'{MODEL}, state="warm"', 'job=~"boxyard.*"'

ROWS = {
    "Is it well?": [
        figure(
            "Accepted",
            "suffix:/s",
            or_none(each_second("boxyard_jobs_accepted_total", where=MODEL)),
        ),
        figure(
            "Done",
            "suffix:/s",
            or_none(each_second(ENDED, where=f'{MODEL}, state="succeeded"')),
        ),
        figure(
            "Dead within the hour",
            "none",
            or_none(events(ENDED, where=f'{MODEL}, state="dead"', minutes=60)),
            red=1,
        ),
        figure(
            "Oldest job waits",
            "s",
            most("boxyard_oldest_ready_job_seconds", where=MODEL),
            orange=300,
            red=900,
        ),
        figure(
            "Warm workers",
            "none",
            f"sum({most('boxyard_workers', 'model', where=WARM)})",
            green=1,
        ),
        figure("Delivery lag", "s", most("boxyard_delivery_lag_seconds"), orange=60, red=300),
        figure("Alerts", "none", or_none('count(ALERTS{alertstate="firing"})'), red=1),
        figure("Servers with Redis", "none", "sum(boxyard_redis_up)", green=1),
        sized(
            bars(
                "Alerts that fire",
                "docs/operations.md says what each means and what to do.",
                ('count by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),
            ),
            24,
            5,
        ),
    ],
    "Queues": [
        graph(
            "Jobs that wait",
            "short",
            "At its bound a queue takes no more: callers get 429 with a time to come back.",
            (
                f"sum by (model) ({most('boxyard_jobs_ready', 'model', 'priority', where=MODEL)})",
                "{{model}}",
            ),
        ),
        graph(
            "Age of the oldest job that waits",
            "s",
            "Jobs of low priority may wait on purpose.",
            (most("boxyard_oldest_ready_job_seconds", "model", where=MODEL), "{{model}}"),
        ),
        graph(
            "Detect workers",
            "none",
            "Those that beat. A worker that stays loading says why in its log.",
            (most("boxyard_workers", "model", "state", where=MODEL), "{{model}} {{state}}"),
        ),
        graph(
            "Accepted, claimed and ended",
            "suffix:jobs/s",
            "More claims than jobs: some are tried again.",
            (each_second("boxyard_jobs_accepted_total", where=MODEL), "accepted"),
            (each_second("boxyard_job_attempts_total", where=MODEL), "claimed"),
            (each_second(ENDED, "state", where=MODEL), "{{state}}"),
        ),
        graph(
            "Jobs that workers hold",
            "short",
            "Of all models.",
            (most("boxyard_jobs_running"), "jobs"),
        ),
        bars(
            "Requeues and lost leases",
            "Leases end when a worker vanishes: killed for memory, or its host is lost.",
            (events("boxyard_jobs_requeued_total", "model", where=MODEL), "{{model}} again"),
            (events("boxyard_swept_total", where='kind="leases"'), "lost their worker"),
            (events("boxyard_leases_lost_total"), "no longer the worker's"),
        ),
    ],
    "Detect": [
        times(
            "Stages, median",
            "Infer includes the wait for batch mates.",
            (quantile(0.5, "boxyard_stage_seconds", "stage", only=SERVES), "{{stage}}"),
        ),
        times(
            "Stages, 95th percentile",
            "",
            (quantile(0.95, "boxyard_stage_seconds", "stage", only=SERVES), "{{stage}}"),
        ),
        graph(
            "Pictures of a device batch",
            "none",
            "Small ones beside a long queue: a larger BOXYARD_MAX_BATCH or BOXYARD_MAX_WAIT_MS.",
            (
                f"{each_second('boxyard_batch_pictures_sum', only=SERVES)}"
                f" / {each_second('boxyard_batch_pictures_count', only=SERVES)}",
                "mean",
            ),
            (quantile(0.95, "boxyard_batch_pictures", only=SERVES), "95th percentile"),
        ),
        graph(
            "Pictures",
            "suffix:pictures/s",
            "",
            (each_second("boxyard_pictures_total", "outcome", only=SERVES), "{{outcome}}"),
        ),
        bars(
            "Pictures that failed",
            "internal-error, inference-failed and crashed are our fault, the others the callers'.",
            (events("boxyard_pictures_total", "code", where='outcome="failed"'), "{{code}}"),
        ),
        bars(
            "Model processes that died",
            "`model.died`, `model.deadline` and `picture.strike` in the worker's log say of what.",
            (events("boxyard_model_restarts_total", "instance"), "{{instance}}"),
            (events("boxyard_picture_strikes_total"), "of a picture alone"),
        ),
    ],
    "Deliveries": [
        graph(
            "Attempts by outcome",
            "suffix:attempts/s",
            "pending: again later. exhausted: given up.",
            (each_second(ATTEMPTS, "kind", "state"), "{{kind}} {{state}}"),
        ),
        bars(
            "Attempts that did not get through",
            "",
            (
                events(ATTEMPTS, "reason", "state", where='state!="delivered"'),
                "{{reason}} {{state}}",
            ),
        ),
        times(
            "Time of an attempt",
            "",
            (quantile(0.5, "boxyard_delivery_attempt_seconds", "kind"), "{{kind}}, median"),
            (
                quantile(0.95, "boxyard_delivery_attempt_seconds", "kind"),
                "{{kind}}, 95th percentile",
            ),
        ),
        graph(
            "Receivers and attempts",
            "short",
            "Many due and the attempts under way at their bound: more deliverers.",
            (most("boxyard_receivers_due"), "due"),
            ("sum(boxyard_deliveries_in_flight)", "under way"),
            ("sum(boxyard_receivers_resting)", "asked for a rest"),
        ),
        graph(
            "Age of the oldest delivery that is due",
            "s",
            "",
            (most("boxyard_delivery_lag_seconds"), "lag"),
        ),
        graph(
            "Since the sweepers' last round",
            "s",
            "",
            (f"min by (loop) (timestamp({ROUND}) - {ROUND})", "{{loop}}"),
        ),
    ],
    "HTTP": [
        graph(
            "Answers",
            "suffix:answers/s",
            "",
            (each_second("boxyard_http_requests_total", "status"), "{{status}}"),
        ),
        times(
            "Time to answer, median",
            "?wait= and /score hold their answers on purpose.",
            (
                quantile(0.5, "boxyard_http_request_seconds", "method", "route"),
                "{{method}} {{route}}",
            ),
        ),
        times(
            "Time to answer, 95th percentile",
            "",
            (
                quantile(0.95, "boxyard_http_request_seconds", "method", "route"),
                "{{method}} {{route}}",
            ),
        ),
    ],
    "Processes": [
        graph(
            "Memory",
            "bytes",
            "The model's own process and the picture decoders are not in it.",
            (f"process_resident_memory_bytes{{{OURS}}}", "{{job}} {{instance}}"),
        ),
        graph(
            "CPU",
            "suffix:cores",
            "Likewise.",
            (
                f"rate(process_cpu_seconds_total{{{OURS}}}[$__rate_interval])",
                "{{job}} {{instance}}",
            ),
        ),
        graph(
            "Processes that answer Prometheus",
            "none",
            "A container that is not there has no address, and is not looked for.",
            (f"sum by (job) (up{{{OURS}}})", "{{job}}"),
        ),
    ],
}


def write_board() -> str:
    """The whole board as Grafana reads it."""
    board = {
        "uid": "boxyard",
        "title": "Boxyard",
        "tags": ["boxyard"],
        "schemaVersion": 42,
        "graphTooltip": 1,  # the same moment in all panels
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_source(), _model()]},
        "panels": list(arrange(ROWS)),
    }
    return json.dumps(board, indent=1) + "\n"


def _source() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {"text": "Boxyard", "value": "boxyard"},
    }


def _model() -> Json:
    return {
        "name": "model",
        "label": "Model",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(boxyard_workers, model)", "refId": "model"},
        "refresh": 2,  # as the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


if __name__ == "__main__":
    BOARD.write_text(write_board())
