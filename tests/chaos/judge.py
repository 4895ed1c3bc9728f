"""The one judge of all faults: from a history to what did not hold.

The invariant: every accepted job reaches exactly one terminal state, with one recorded result that
is its own, whole and stored; nothing crosses tenants; who must be told of an end is told.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from chaos.history import (
    Accepted,
    Asked,
    Blunder,
    Due,
    Erasing,
    Heard,
    History,
    Marked,
    Missing,
    Orphan,
    Refused,
    Replaying,
    Result,
    Stands,
    Stated,
    Told,
)

OPEN = {"queued", "running"}
OVER = {"delivered", "exhausted"}


@dataclass
class Verdict:
    """Ids of what broke the invariant, by how, and some counts."""

    lost: list[str] = field(default_factory=list)
    """Accepted, and not there."""
    stuck: list[str] = field(default_factory=list)
    """There, and not ended."""
    double: list[str] = field(default_factory=list)
    """Two ends, two results, or two jobs of one submission."""
    wrong: list[str] = field(default_factory=list)
    """Recorded results that are missing, damaged or another job's."""
    foreign: list[str] = field(default_factory=list)
    """Told to, or kept for, another tenant."""
    unasked: list[str] = field(default_factory=list)
    """There, or told, and nobody could have asked for it."""
    unerased: list[str] = field(default_factory=list)
    """There after an erasure."""
    undelivered: list[str] = field(default_factory=list)
    """Ends that their receivers were not told, and were not given up either."""
    unverified: list[str] = field(default_factory=list)
    """Callbacks whose signature is not of the tenant's secrets."""
    orphans: list[str] = field(default_factory=list)
    """Blobs that nobody would ever erase."""

    blunders: list[str] = field(default_factory=list)
    """Answers that no server should give."""

    accepted: int = 0
    refused: int = 0
    duplicate_runs: int = 0
    repeats: int = 0
    """Callbacks that came again."""

    @property
    def breaches(self) -> dict[str, list[str]]:
        """What did not hold; empty when all did."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: ids for name, ids in found.items() if isinstance(ids, list) and ids}

    @property
    def held(self) -> bool:
        return not self.breaches


def judge(history: History) -> Verdict:
    return _Case(history).verdict()


class _Case:
    """One history, sorted by job."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._asked: dict[str, set[str]] = defaultdict(set)
        for asked in history.of(Asked):
            self._asked[asked.tenant].add(asked.marker)
        self._submissions = {each.marker: each for each in history.of(Asked)}
        self._standing = {each.job: each for each in history.of(Stands)}
        self._replayed = {each.job for each in history.of(Replaying)}
        self._erasing = {each.job for each in history.of(Erasing)}
        self._told: dict[str, list[Told]] = defaultdict(list)
        for told in history.of(Told):
            self._told[told.job].append(told)

    def verdict(self) -> Verdict:
        accepted = self._accepted()
        return Verdict(
            lost=_sorted(self._lost(accepted)),
            stuck=_sorted(job.job for job in self._standing.values() if job.state in OPEN),
            double=_sorted([*self._two_jobs(), *self._two_ends(), *self._two_results()]),
            wrong=_sorted([*self._wrong_stored(), *self._wrong_read()]),
            foreign=_sorted(self._strange(others=True)),
            unasked=_sorted([*self._strange(others=False), *self._unkeyed(), *self._untraced()]),
            unerased=_sorted(self._unerased()),
            undelivered=_sorted([*self._unheard(), *self._undue()]),
            unverified=_sorted(h.delivery for h in self._history.of(Heard) if not h.verified),
            orphans=_sorted(orphan.key for orphan in self._history.of(Orphan)),
            blunders=_sorted(each.answer for each in self._history.of(Blunder)),
            accepted=len(accepted),
            refused=sum(1 for _ in self._history.of(Refused)),
            duplicate_runs=sum(max(0, job.attempts - 1) for job in self._standing.values()),
            repeats=self._repeats(),
        )

    def _accepted(self) -> dict[str, str]:
        """Jobs by id, with their markers: told 202, or found by their key."""
        told = {each.job: each.marker for each in self._history.of(Accepted)}
        return {**{job.job: job.marker for job in self._standing.values()}, **told}

    def _lost(self, accepted: dict[str, str]) -> Iterable[str]:
        gone = set(accepted) - set(self._standing)
        gone |= {each.job for each in self._history.of(Missing) if self._is_own(each, accepted)}
        return gone - self._erasing

    def _is_own(self, missing: Missing, accepted: dict[str, str]) -> bool:
        return accepted.get(missing.job) in self._asked[missing.tenant]

    def _two_jobs(self) -> Iterable[str]:
        """Jobs that share a submission."""
        jobs: dict[str, set[str]] = defaultdict(set)
        for each in self._history.of(Marked):
            jobs[each.marker].add(each.job)
        return (job for twins in jobs.values() if len(twins) > 1 for job in twins)

    def _two_ends(self) -> Iterable[str]:
        ends: dict[str, set[str]] = defaultdict(set)
        for each in self._history.of(Stated):
            if each.state not in OPEN:
                ends[each.job].add(each.state)
        contradicted = {job for job, states in ends.items() if len(states) > 1}
        back = {job for job, told in self._told.items() if _went_back(told)}
        return (contradicted | back) - self._replayed

    def _two_results(self) -> Iterable[str]:
        """Jobs whose result was another at another time, and ends told under two ids."""
        results: dict[str, set[str]] = defaultdict(set)
        for read in self._history.of(Result):
            results[read.job].add(read.sha256)
        for job in self._standing.values():
            if job.recorded and job.job in results:
                results[job.job].add(job.recorded)
        told: dict[str, set[str]] = defaultdict(set)
        for heard in self._history.of(Heard):
            told[heard.delivery].add(f"{heard.job} {heard.state}")
        twice = {job for job, found in results.items() if len(found) > 1}
        return (twice - self._replayed) | {name for name, found in told.items() if len(found) > 1}

    def _wrong_stored(self) -> Iterable[str]:
        for job in self._standing.values():
            if job.recorded:
                if job.stored != job.recorded or job.named != job.marker:
                    yield job.job
            elif job.state == "succeeded":
                yield job.job

    def _wrong_read(self) -> Iterable[str]:
        for read in self._history.of(Result):
            asked = self._submissions.get(read.marker)
            expected = asked.pictures if asked else ()
            same = len(expected) == len(read.pictures) and all(
                "" in (own, found) or own == found
                for own, found in zip(expected, read.pictures, strict=True)
            )
            if read.named != read.job or not same:
                yield read.job

    def _strange(self, *, others: bool) -> Iterable[str]:
        """Jobs that a tenant was told of, or has, without having asked: others', or nobody's."""
        for tenant, job, marker in self._words():
            unasked = marker and marker not in self._asked[tenant]
            if unasked and (marker in self._submissions) is others:
                yield job

    def _words(self) -> Iterable[tuple[str, str, str]]:
        """All that was told or kept: to whom, of which job, and the marker that it bears."""
        for each in self._history.of(Marked):
            yield each.tenant, each.job, each.marker
        for heard in self._history.of(Heard):
            yield heard.tenant, heard.job, heard.result
        for job in self._standing.values():
            yield job.tenant, job.job, job.named

    def _unkeyed(self) -> Iterable[str]:
        return (job.job for job in self._standing.values() if not job.keyed)

    def _untraced(self) -> Iterable[str]:
        """Callbacks under ids that no delivery has."""
        known = {due.delivery for due in self._history.of(Due)}
        for heard in self._history.of(Heard):
            if heard.delivery not in known and heard.job not in self._erasing:
                yield heard.delivery

    def _unerased(self) -> Iterable[str]:
        erased = {each.job for each in self._history.of(Erasing) if each.told}
        return erased & set(self._standing)

    def _unheard(self) -> Iterable[str]:
        """Deliveries that are not over, or that are said to be made and were not."""
        heard = {(each.delivery, each.job) for each in self._history.of(Heard)}
        for due in self._history.of(Due):
            made = due.state == "delivered"
            if due.state not in OVER or (made and (due.delivery, due.job) not in heard):
                yield due.delivery

    def _undue(self) -> Iterable[str]:
        """Jobs without the deliveries that were asked for; each end has one for each receiver."""
        due = Counter(each.job for each in self._history.of(Due))
        for job in self._standing.values():
            asked = self._submissions.get(job.marker)
            wanted = asked.callbacks if asked else 0
            exact = due[job.job] == wanted
            more = due[job.job] >= wanted and job.job in self._replayed
            if job.state not in OPEN and not exact and not more:
                yield job.job

    def _repeats(self) -> int:
        times = Counter(heard.delivery for heard in self._history.of(Heard))
        return sum(count - 1 for count in times.values())


def _went_back(told: list[Told]) -> bool:
    """Whether somebody asked after an end was told, and heard that there was none."""
    ended = min((each.answered for each in told if each.state not in OPEN), default=None)
    return ended is not None and any(each.asked > ended and each.state in OPEN for each in told)


def _sorted(found: Iterable[str]) -> list[str]:
    return sorted(set(found))
