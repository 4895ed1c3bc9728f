"""PromQL, by the joins that docs/operations.md tells of.

Queues are the whole stack's and every server shows them, so `max` joins them. Counters are one
process' each, so their rates are summed.
"""

MODEL = 'model=~"$model"'
SERVES = f"and on (instance) boxyard_job_attempts_total{{{MODEL}}}"
"""A detect worker serves one model: its claims say which, and the rest of its figures need not."""


def each_second(counter: str, *by: str, where: str = "", only: str = "") -> str:
    """What all processes do together."""
    return f"sum by ({', '.join(by)}) (rate({counter}{{{where}}}[$__rate_interval]) {only})"


def quantile(share: float, histogram: str, *by: str, only: str = "") -> str:
    """Of what was observed in all processes."""
    return (
        f"histogram_quantile({share}, {each_second(histogram + '_bucket', 'le', *by, only=only)})"
    )


def most(gauge: str, *by: str, where: str = "") -> str:
    """Of what every server shows alike."""
    return f"max by ({', '.join(by)}) ({gauge}{{{where}}})"


def events(counter: str, *by: str, where: str = "", window: str = "$__rate_interval") -> str:
    """How often something rare happened.

    A counter with labels appears with its first event, which `increase` does not see: what was not
    there a window ago counts in full, if Prometheus looked at anything at all then.
    """
    shown = f"{counter}{{{where}}}"
    new = f"({shown} unless {shown} offset {window} and on () up offset {window})"
    return f"sum by ({', '.join(by)}) ({new} or increase({shown}[{window}]))"


def or_none(query: str) -> str:
    """0 in place of nothing."""
    return f"{query} or vector(0)"
