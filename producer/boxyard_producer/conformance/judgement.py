"""Whether an answer is right, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from .cases import Case

_COME_AGAIN = (HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)
"""What the second of two attempts at once may be told, beside 2xx and 5xx."""

NO_ANSWER = (
    "See that it listens at this URL, with a certificate that is valid where it is https, and "
    "answers soon: keep the event, answer, then work."
)
_REDIRECT = "Answer at this very URL: redirects are not followed."
_GONE = "Keep 410 for when you want no more callbacks: it disables the endpoint."
_HASTY = "Verify before you act on anything."


def judge(case: Case, statuses: Sequence[int | None], acts: int | None) -> str:
    """What to do about the answers; nothing where all is well.

    Args:
        case: what was sent.
        statuses: of the answers; None where there was none.
        acts: how often it acted; None where nobody looked.
    """
    if None in statuses:
        return NO_ANSWER
    answers = [status for status in statuses if status is not None]
    if any(status // 100 == 3 for status in answers):
        return _REDIRECT
    if HTTPStatus.GONE in answers:
        return _GONE
    if not _fit(case, answers):
        return case.advice
    if acts in (None, int(bool(case.acts))):
        return ""
    return case.advice if case.accepted else _HASTY


def _fit(case: Case, answers: Sequence[int]) -> bool:
    wanted = 2 if case.accepted else 4
    good = [status for status in answers if status // 100 == wanted]
    others = [status for status in answers if status not in good]
    return bool(good) and all(
        case.accepted and (status in _COME_AGAIN or status // 100 == 5) for status in others
    )
