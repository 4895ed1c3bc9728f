"""PromQL, by the joins that docs/operations.md tells of.

Queues are the whole stack's and every server shows them, so `max` joins them. Counters are one
process' each, so their rates are summed.
"""

MODEL = 'model=~"$model"'
SERVES = f"and on (instance) boxyard_job_attempts_total{{{MODEL}}}"
"""A detect worker serves one model: its claims say which, and the rest of its figures need not."""


def each_second(counter: str, *by: str, where: str = "", only: str = "") -> str:
    """What all processes do together."""
    rates = f"rate({counter}{{{where}}}[$__rate_interval])"
    return f"sum by ({', '.join(by)}) ({f'{rates} {only}' if only else rates})"


def quantile(share: float, histogram: str, *by: str, only: str = "") -> str:
    """Of what was observed in all processes."""
    return (
        f"histogram_quantile({share}, {each_second(histogram + '_bucket', 'le', *by, only=only)})"
    )


def most(gauge: str, *by: str, where: str = "") -> str:
    """Of what every server shows alike."""
    return f"max by ({', '.join(by)}) ({gauge}{{{where}}})"


def events(counter: str, *by: str, where: str = "", minutes: int = 0) -> str:
    """How often something rare happened, in the last minutes or in each step of a graph.

    A counter with labels appears with its first event, which `increase` does not see. What was not
    there a window ago so counts in full, if its process was watched then or did not run yet.
    """
    shown = f"{counter}{{{where}}}"
    window = f"{minutes}m" if minutes else "$__rate_interval"
    known = f"up offset {window}"
    if minutes:
        known += f" or process_start_time_seconds > time() - {60 * minutes}"
    new = f"({shown} unless {shown} offset {window} and on (instance) ({known}))"
    return f"sum by ({', '.join(by)}) ({new} or increase({shown}[{window}]))"


def or_none(query: str) -> str:
    """0 in place of nothing."""
    return f"{query} or vector(0)"
