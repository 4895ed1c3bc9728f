"""What Redis cannot do now is `Unavailable`; what its operator must mend is `SetupError`."""

from __future__ import annotations

import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis

from boxyard_ledger import EmbeddedRedis, JobRecord, Ledger, LedgerSettings, make_app
from boxyard_ledger.connection import Connection
from boxyard_ledger.embedded import find_server
from boxyard_ledger.link import socket_options
from boxyard_ledger.refusals import translated
from boxyard_schemas.errors import BoxyardError, SetupError, Unavailable
from process import await_true
from security.valkey import Server

MakeJob = Callable[..., JobRecord]


@pytest.fixture
def admin(own_redis: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(own_redis.url, decode_responses=True) as client:
        yield client


def refused(ledger: Ledger, make_job: MakeJob, kind: type[BoxyardError]) -> BoxyardError:
    """What a script, a command and a transaction are told: all the same."""
    steps: tuple[Callable[[], object], ...] = (
        lambda: ledger.jobs.accept(make_job()),
        lambda: ledger.tenants.set_quota("acme", queued_jobs=5),
        lambda: connection.commands(("SET", "boxyard:a", "b c"), atomic=True),
        lambda: connection.commands(("SET", "boxyard:a", "b c")),
    )
    with closing(Connection(ledger.settings)) as connection:
        for step in steps:
            with pytest.raises(kind) as caught:
                step()
    error = caught.value
    if kind is Unavailable:
        assert error.data["retry_after_s"] > 0
    return error


def test_a_full_memory_passes(admin: redis.Redis, own_ledger: Ledger, make_job: MakeJob) -> None:
    own_ledger.tenants.create("acme")
    admin.config_set("maxmemory", 1)
    refused(own_ledger, make_job, Unavailable)
    admin.config_set("maxmemory", 0)
    own_ledger.jobs.accept(make_job())


def test_a_replica_is_waited_for(admin: redis.Redis, own_ledger: Ledger, make_job: MakeJob) -> None:
    own_ledger.tenants.create("acme")
    admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    refused(own_ledger, make_job, Unavailable)
    admin.config_set("replica-serve-stale-data", "no")
    refused(own_ledger, make_job, Unavailable)
    admin.execute_command("REPLICAOF", "NO", "ONE")
    own_ledger.jobs.accept(make_job())


def test_a_file_that_cannot_be_written_passes(
    admin: redis.Redis, own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: MakeJob
) -> None:
    own_ledger.tenants.create("acme")
    # A server with an append-only file and `appendfsync always` ends instead, to be started again.
    admin.config_set("appendonly", "no")
    admin.config_set("save", "3600 1")
    assert own_redis.pid
    soft, hard = resource.prlimit(own_redis.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(own_redis.pid, resource.RLIMIT_FSIZE, (0, hard))
    assert _saves(admin) == "err"
    assert "MISCONF" in str(refused(own_ledger, make_job, Unavailable))
    resource.prlimit(own_redis.pid, resource.RLIMIT_FSIZE, (soft, hard))
    assert _saves(admin) == "ok"
    own_ledger.jobs.accept(make_job())


def _saves(admin: redis.Redis) -> str:
    admin.bgsave()
    await_true(lambda: not admin.info()["rdb_bgsave_in_progress"], "the save")
    return str(admin.info()["rdb_last_bgsave_status"])


def test_too_few_replicas_are_waited_for(
    admin: redis.Redis, own_ledger: Ledger, make_job: MakeJob
) -> None:
    own_ledger.tenants.create("acme")
    admin.config_set("min-replicas-to-write", 1)
    assert "NOREPLICAS" in str(refused(own_ledger, make_job, Unavailable))


def test_somebody_s_endless_script_passes(
    admin: redis.Redis, own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: MakeJob
) -> None:
    own_ledger.tenants.create("acme")
    admin.config_set("busy-reply-threshold", 10)
    with redis.Redis.from_url(own_redis.url) as other:
        thread = threading.Thread(target=_run_for_ever, args=(other,))
        thread.start()
        await_true(lambda: _is_busy(admin), "the script")
        refused(own_ledger, make_job, Unavailable)
        admin.script_kill()
        thread.join()
    own_ledger.jobs.accept(make_job())


def _run_for_ever(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        client.eval("while true do end", 0)


def _is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError:
        return True
    return False


def test_no_room_for_another_connection_passes(
    admin: redis.Redis, own_redis: EmbeddedRedis, own_ledger: Ledger, make_job: MakeJob
) -> None:
    admin.config_set("maxclients", 1)
    with pytest.raises(Unavailable, match="max number of clients"):
        own_ledger.jobs.accept(make_job())
    admin.config_set("maxclients", 1000)
    own_ledger.jobs.accept(make_job())


def test_a_server_that_reads_its_file_is_waited_for(make_job: MakeJob, tmp_path: Path) -> None:
    slowly = ("--key-load-delay", "50000", "--loading-process-events-interval-bytes", "1024")
    command = (find_server(), "--bind", "127.0.0.1", "--port", "{port}", "--save", "")
    with (
        Server(tmp_path / "redis", *command) as server,
        redis.Redis(port=server.port) as client,
    ):
        client.mset({str(index): os.urandom(2**10) for index in range(1200)})
        client.save()
    with (
        Server(tmp_path / "redis", *command, *slowly) as server,
        redis.Redis(port=server.port) as client,
    ):
        settings = LedgerSettings(
            redis_url=f"redis://127.0.0.1:{server.port}/0", blob_url=tmp_path.as_uri()
        )
        with Ledger.open(settings) as ledger:
            with pytest.raises(Unavailable, match="loading"):
                ledger.jobs.accept(make_job())
            client.config_set("key-load-delay", 0)  # else it reads for a minute
            await_true(lambda: _accepts(ledger, make_job()), "its end")


def _accepts(ledger: Ledger, job: JobRecord) -> bool:
    try:
        return ledger.jobs.accept(job)[1]
    except Unavailable:
        return False


def test_a_changed_password_is_the_operator_s_to_mend(
    admin: redis.Redis, own_ledger: Ledger, make_job: MakeJob
) -> None:
    admin.config_set("requirepass", "another")
    admin.client_kill_filter(_type="normal", skipme=True)
    assert "BOXYARD_REDIS_URL" in str(refused(own_ledger, make_job, SetupError))


def test_a_user_without_rights_is_the_operator_s_to_mend(
    admin: redis.Redis, own_redis: EmbeddedRedis, make_job: MakeJob, tmp_path: Path
) -> None:
    rights = {"enabled": True, "passwords": ["+x"], "keys": ["boxyard:*"]}
    admin.acl_setuser("guest", commands=["+@all", "-set", "-hset", "-hget", "-sismember"], **rights)
    url = own_redis.url.replace("redis://", "redis://guest:x@")
    settings = LedgerSettings(redis_url=url, blob_url=tmp_path.as_uri())
    with Ledger.open(settings) as guest:
        assert "users.acl" in str(refused(guest, make_job, SetupError))


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(
            "run this command or subcommand script: 1a2b, on @user_script:9.", id="command"
        ),
        pytest.param("access at least one of the keys mentioned in the command", id="keys"),
    ],
)
def test_redis_7_0_says_it_in_other_words(said: str) -> None:
    with pytest.raises(SetupError, match=r"users\.acl"), translated():
        raise redis.ResponseError(f"The user executing the script can't {said}")


@contextmanager
def listener(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port whose connections are each handled so, which is no Redis."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, answer), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def _serve(server: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    held = []
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            break
        held.append(connection)
        answer(connection)
    for connection in held:
        connection.close()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()


@pytest.mark.parametrize(
    "answer", [_reset, socket.socket.close, lambda _: None], ids=["resets", "hangs up", "is silent"]
)
def test_whoever_resets_hangs_up_or_is_silent_is_away(
    make_job: MakeJob, tmp_path: Path, answer: Callable[[socket.socket], None]
) -> None:
    with listener(answer) as port:
        settings = LedgerSettings(
            redis_url=f"redis://127.0.0.1:{port}/0",
            blob_url=tmp_path.as_uri(),
            redis_timeout_s=0.3,
        )
        with Ledger.open(settings) as ledger:
            began = time.monotonic()
            refused(ledger, make_job, Unavailable)
            with pytest.raises(Unavailable):
                ledger.check_server()
            assert time.monotonic() - began < 30


_REDIS_6_2 = {
    b"HELLO": b"%2\r\n$7\r\nversion\r\n$6\r\n6.2.14\r\n$5\r\nproto\r\n:3\r\n",
    b"CONFIG": b"%1\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n",
    b"EVAL": b"-ERR Error compiling script (new function): user_script:1: unexpected symbol "
    b"near '#'\r\n",
}


def _answer_as_redis_6_2(connection: socket.socket) -> None:
    with connection.makefile("rb") as asked:
        while count := asked.readline()[1:]:
            words = [asked.read(int(asked.readline()[1:]) + 2).strip() for _ in range(int(count))]
            connection.sendall(_REDIS_6_2.get(words[0], b"+OK\r\n"))


def test_a_redis_before_7_is_named_before_any_job(tmp_path: Path) -> None:
    with listener(_answer_as_redis_6_2) as port:
        settings = LedgerSettings(
            redis_url=f"redis://127.0.0.1:{port}/0", blob_url=tmp_path.as_uri()
        )
        with (
            Ledger.open(settings) as ledger,
            pytest.raises(SetupError, match=r"older than 7\.0.*Put Redis 7\.0 or newer, or Valkey"),
        ):
            ledger.check_server()


def test_probes_end_a_line_whose_other_end_is_silent(own_ledger: Ledger) -> None:
    settings = own_ledger.settings
    with (
        redis.Redis.from_url(settings.redis_url, **socket_options(settings)) as client,
        make_app(settings).connection() as celery,
    ):
        for pool in (client.connection_pool, celery.channel().client.connection_pool):
            line = pool.get_connection()
            assert _silence_borne_s(line._get_socket()) <= 30
            pool.release(line)


def _silence_borne_s(wire: socket.socket) -> float:
    """The longest that a line without its other end stays open, idle or not."""
    options = socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT
    idle, pause, probes = (wire.getsockopt(socket.IPPROTO_TCP, option) for option in options)
    assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    unheard_ms = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert unheard_ms > 0
    return float(max(idle + pause * probes, unheard_ms / 1000))
