"""Each part has the rights in Redis that it needs, found by its real work, and no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from boxyard_schemas import Scope
from boxyard_schemas.errors import SetupError
from security.conftest import Guarded, OpenAs, make_job
from yard import MODEL

HASHES_OF_KEYS = ("boxyard:api-keys", "boxyard:acme:api-keys", "boxyard:acme:bootstrap")
SECRETS = ("boxyard:acme:tenant",)
FORBIDDEN = [
    *(
        (role, ("HGETALL", key))
        for role in ("detect", "deliver", "sweep")
        for key in HASHES_OF_KEYS
    ),
    *((role, ("HGETALL", key)) for role in ("detect", "sweep") for key in SECRETS),
    *((role, ("HSET", "boxyard:acme:tenant", "a", "b")) for role in ("detect", "deliver", "sweep")),
    *((role, ("SADD", "boxyard:tenants", "mine")) for role in ("detect", "deliver", "sweep")),
    ("deliver", ("ZADD", f"boxyard:ready:{MODEL}:high", "1", "acme/job")),
    ("deliver", ("HSET", "boxyard:acme:job:job_1", "state", "queued")),
    ("deliver", ("LPUSH", f"detect.{MODEL}", "bell")),
    ("deliver", ("PUBLISH", "boxyard:finished", "acme/job")),
    ("detect", ("HSET", "boxyard:acme:endpoints", "ep", "{}")),
    ("detect", ("SUBSCRIBE", "boxyard:finished")),
    ("detect", ("HSET", "boxyard:acme:uploads", "upl", "1")),
    ("operator", ("LPUSH", f"detect.{MODEL}", "message")),
    ("operator", ("PUBLISH", "boxyard:finished", "acme/job")),
    ("operator", ("GET", "not-ours")),
    ("monitor", ("GET", "boxyard:models")),
    ("server", ("SUBSCRIBE", "another")),
    ("server", ("GET", "not-ours")),
]


def test_a_role_is_refused_what_is_not_its_own(guarded: Guarded) -> None:
    with guarded.client("root") as root:
        said = {
            (role, *words): root.execute_command("ACL", "DRYRUN", role, *words)
            for role, words in FORBIDDEN
        }
    assert [words for words, answer in said.items() if "no permissions" not in answer.lower()] == []


ALLOWED_THOUGH_DANGEROUS = {
    **{role: {"config|get"} for role in ("server", "detect", "deliver", "sweep")},
    "operator": {"config|get", "info", "acl|log", "slowlog|get"},
    "monitor": {"info"},
}


def test_nobody_may_administer_the_server_or_list_what_it_holds(guarded: Guarded) -> None:
    with guarded.client("root") as root:
        names = {
            name
            for kind in ("dangerous", "admin")
            for name in root.execute_command("ACL", "CAT", kind)
        }
        assert names > {"flushall", "keys", "config|set", "shutdown", "debug", "acl|setuser"}
        allowed = {
            role: {name for name in names if may(root, role, name)}
            for role in ALLOWED_THOUGH_DANGEROUS
        }
    assert allowed == ALLOWED_THOUGH_DANGEROUS


def may(root: redis.Redis, role: str, name: str) -> bool:
    """Whether a role may run a command, whatever its arguments are."""
    words = name.split("|")
    arity = abs(root.execute_command("COMMAND", "INFO", name)[name]["arity"])
    arguments = ["x"] * (arity - len(words))
    said = root.execute_command("ACL", "DRYRUN", role, *words, *arguments)
    return "no permissions to run" not in said


def test_who_shows_no_name_or_a_wrong_password_gets_nowhere(guarded: Guarded) -> None:
    at_once = Retry(NoBackoff(), 0)
    for shown in ({}, {"username": "server", "password": "guess"}, {"password": "guess"}):
        with (
            redis.Redis(port=guarded.port, retry=at_once, **shown) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_a_part_that_lacks_a_right_says_so_and_where_rights_stand(open_as: OpenAs) -> None:
    deliver, detect = open_as("deliver"), open_as("detect")
    beyond: dict[str, Callable[[], object]] = {
        "deliver accepts a job": lambda: deliver.jobs.accept(make_job()),
        "deliver tries keys": lambda: deliver.api_keys.authenticate("guess"),
        "detect reads secrets": lambda: detect.tenants.webhook_secrets("acme"),
        "detect makes a key": lambda: detect.api_keys.create("acme", name="mine", scopes=Scope),
        "sweep makes a tenant": lambda: open_as("sweep").tenants.create("mine"),
        "the operator follows jobs": open_as("operator").jobs.subscribe,
    }
    for step in beyond.values():
        with pytest.raises(SetupError, match=r"forbids the user.*users\.acl"):
            step()


def test_a_detect_worker_may_read_which_uploads_are_recorded(open_as: OpenAs) -> None:
    upload = open_as("server").uploads.store("acme", b"image").id
    detect = open_as("detect")
    assert detect.uploads.recorded("acme", upload)
    assert not detect.uploads.recorded("acme", "upl_none")
