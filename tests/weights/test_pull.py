"""The operator pulls weights once, by name; they are checked, converted, listed and removed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import torch
from click.testing import Result
from mmengine.logging import HistoryBuffer
from typer.testing import CliRunner

from boxyard_schemas.catalogue import CatalogueEntry, catalogue
from boxyard_schemas.errors import SetupError
from boxyard_worker.cli import app
from boxyard_worker.detector.weights import read_weights
from boxyard_worker.weights.cache import Cache, Record
from boxyard_worker.weights.pull import find_entry, import_file, pull
from boxyard_worker.weights.settings import WeightsSettings
from receivers import Receiver
from weights.shelf import Shelf

UNNUMBERED = "ddq-detr-5scale_r50_8xb2-12e_coco"  # its file's name says no digest
NUMBERED = "rtmdet-ins_tiny_8xb32-300e_coco"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint as mmengine leaves it."""
    path = tmp_path_factory.mktemp("published") / "model.pth"
    content = {
        "meta": {"dataset_meta": {"classes": ("can",)}, "epoch": 3, "time": np.float64(1.5)},
        "state_dict": torch.nn.BatchNorm2d(3).state_dict(),
        "message_hub": {"log_scalars": {"loss": HistoryBuffer([1.5], [1])}},
        "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": []},
    }
    torch.save(content, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def shelf(published: bytes) -> Shelf:
    return Shelf(published)


@pytest.fixture(scope="module")
def mirror(shelf: Shelf) -> Iterator[Receiver]:
    with Receiver(shelf) as server:
        yield server


def environment(cache: Path, mirror: str) -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {
        **os.environ,
        "PATH": path,
        "BOXYARD_WEIGHTS_DIR": str(cache),
        "BOXYARD_WEIGHTS_MIRRORS": mirror,
        "BOXYARD_WEIGHTS_MIRRORS_ONLY": "true",
        "BOXYARD_WEIGHTS_ATTEMPTS": "1",
    }


def run(*words: str, cache: Path, mirror: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env=environment(cache, mirror), capture_output=True, text=True, check=False
    )


def command(*words: str, cache: Path) -> Result:
    """Runs the worker's command line in this process."""
    return CliRunner().invoke(app, words, env={"BOXYARD_WEIGHTS_DIR": str(cache)})


@pytest.fixture(scope="module")
def manual() -> str:
    """What the documentation tells its reader to type."""
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    return page.partition("\n## Weights\n")[2].partition("```sh\n")[2].partition("```")[0]


@pytest.fixture(scope="module")
def told(
    manual: str, tmp_path_factory: pytest.TempPathFactory, mirror: Receiver
) -> tuple[Path, str]:
    """The cache of a reader who did so, and what the commands said."""
    folder = tmp_path_factory.mktemp("cache")
    done = run("bash", "-euc", manual, cache=folder, mirror=mirror.url)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def cache(told: tuple[Path, str]) -> Path:
    return told[0]


@pytest.fixture
def record(cache: Path) -> Record:
    found = Cache(cache).find(UNNUMBERED)
    assert found
    return found


def quiet(done: int, total: int | None) -> None:
    """Nobody looks."""


def test_what_is_pulled_is_recorded_with_both_digests_and_its_source(
    cache: Path, record: Record, published: bytes, mirror: Receiver
) -> None:
    path = catalogue()[UNNUMBERED].weights_url.partition(".com")[2]
    assert record.source == mirror.url + path
    assert mirror.requests[0].path == path
    assert record.source_sha256 == hashlib.sha256(published).hexdigest()
    file = Cache(cache).path(record)
    assert file.name == f"{record.sha256}.safetensors"
    assert record.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    weights = read_weights(file)
    assert weights.classes == ("can",)
    assert weights.sha256 == record.sha256
    assert list((cache / "downloads").iterdir()) == []


def test_who_may_read_a_users_new_files_may_read_pulled_weights(
    cache: Path, record: Record, tmp_path: Path
) -> None:
    (tmp_path / "new").touch()
    assert Cache(cache).path(record).stat().st_mode == (tmp_path / "new").stat().st_mode


def test_what_was_pulled_is_listed_for_people_and_for_programs(
    told: tuple[Path, str], record: Record
) -> None:
    for part in (record.name, record.sha256, record.source, f"{record.at:%Y-%m-%d}"):
        assert part in told[1]
    (listed,) = json.loads(command("weights", "--json", cache=told[0]).output)
    assert listed == record.model_dump(mode="json")


def entry_of(name: str, body: bytes) -> CatalogueEntry:
    """An entry whose file says this body's digest."""
    digest = hashlib.sha256(body).hexdigest()[:8]
    url = f"https://weights.invalid/v3.0/{name}-{digest}.pth"
    return catalogue()[name].model_copy(update={"weights_url": url, "weights_digest": digest})


def settings_for(cache: Path, **more: object) -> WeightsSettings:
    return WeightsSettings.model_validate(
        {"weights_dir": cache, "weights_mirrors_only": True, "weights_attempts": 1, **more}
    )


def test_two_who_pull_the_same_file_fetch_it_once(
    tmp_path: Path, published: bytes, record: Record
) -> None:
    shelf, settings, found = Shelf(published), settings_for(tmp_path), []
    entry = entry_of(NUMBERED, published)

    def fetch(url: str) -> None:
        found.append(pull(entry, settings, [url], quiet))

    with Receiver(shelf) as server:
        pair = [Thread(target=fetch, args=(server.url,)) for _ in range(2)]
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()
        assert pull(entry, settings, [server.url], quiet) == found[0] == found[1]
    assert shelf.sent == len(published)
    assert found[0].name == NUMBERED
    assert found[0].sha256 == record.sha256  # of the same file, at any time and under any name


def test_weights_that_changed_on_the_disk_are_pulled_again(
    cache: Path, record: Record, shelf: Shelf, mirror: Receiver
) -> None:
    file = Cache(cache).path(record)
    honest = file.read_bytes()
    file.write_bytes(honest[:-1] + bytes([honest[-1] ^ 1]))
    before = shelf.sent
    again = pull(catalogue()[UNNUMBERED], settings_for(cache), [mirror.url], quiet)
    assert shelf.sent > before
    assert again.sha256 == record.sha256
    assert file.read_bytes() == honest


def test_a_file_that_another_digest_was_published_for_is_refused(
    tmp_path: Path, published: bytes
) -> None:
    shelf = Shelf(published)
    with Receiver(shelf) as server, pytest.raises(SetupError, match=r"(?s)damaged.*--from FILE"):
        pull(catalogue()[NUMBERED], settings_for(tmp_path), [server.url], quiet)
    assert Cache(tmp_path).records() == []
    assert list((tmp_path / "downloads").iterdir()) == []


class Malice:
    def __init__(self, trap: Path) -> None:
        self._trap = trap

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._trap),)


def test_a_malicious_file_with_the_right_digest_runs_nothing_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    path, trap = tmp_path / "model.pth", tmp_path / "was-here"
    torch.save({"state_dict": {"w": torch.zeros(2)}, "meta": Malice(trap)}, path)
    body, cache = path.read_bytes(), tmp_path / "cache"
    with Receiver(Shelf(body)) as server, pytest.raises(SetupError, match="mkdir"):
        pull(entry_of(NUMBERED, body), settings_for(cache), [server.url], quiet)
    assert not trap.exists()
    assert [each for each in cache.rglob("*") if each.is_file()] == []


def test_a_file_is_imported_offline_and_another_than_the_published_one_is_said_to_be(
    tmp_path: Path, published: bytes
) -> None:
    digest = hashlib.sha256(published).hexdigest()[:8]
    file = tmp_path / f"own-{digest}.pth"
    file.write_bytes(published)
    spelling = f"mmd-3x-{NUMBERED}"
    words = "boxyard", "models", "pull", spelling, "--from", str(file)
    told = run(*words, cache=tmp_path / "cache")
    assert told.returncode == 0, told.stderr
    assert "is not the file that is published" in told.stderr
    (record,) = Cache(tmp_path / "cache").records()
    assert (record.name, record.source) == (NUMBERED, str(file))
    assert file.exists()


def test_an_imported_file_must_be_there_and_be_what_its_name_says(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "cache")
    with pytest.raises(SetupError, match="No such file"):
        import_file(catalogue()[NUMBERED], settings, tmp_path / "absent.pth")
    file = tmp_path / "model-12345678.pth"
    file.write_bytes(b"\x80\x02something")
    with pytest.raises(SetupError, match="is damaged"):
        import_file(catalogue()[NUMBERED], settings, file)


def test_where_nothing_was_pulled_the_list_says_how_to(tmp_path: Path) -> None:
    told = run("boxyard", "models", "list-local", cache=tmp_path)
    assert (told.returncode, told.stdout) == (0, "")
    assert "boxyard models pull NAME" in told.stderr
    assert command("weights", "--json", cache=tmp_path).output == "[]\n"


def test_a_pull_that_is_told_to_stop_leaves_no_process_that_goes_on(tmp_path: Path) -> None:
    ended = Event()
    with Receiver(lambda handler: ended.wait(60) and None) as silent:
        with subprocess.Popen(
            ["boxyard", "models", "pull", UNNUMBERED],
            env=environment(tmp_path, silent.url),
            stdout=subprocess.PIPE,
        ) as pulling:
            silent.wait(1)
            pulling.terminate()
            pulling.communicate(timeout=60)  # its output ends with the last process that has it
        ended.set()
    assert pulling.returncode == -signal.SIGTERM


def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path) -> None:
    told = run("boxyard", "models", "remove", "nothing", cache=tmp_path)
    assert told.returncode == 1
    assert told.stderr == (
        "boxyard-worker: No weights of 'nothing' are here. boxyard-worker weights lists them.\n"
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["pull", "rtmdet-ins_tinny"], "Did you mean rtmdet-ins_tiny"),
        (["pull", "rtmdet-ins_demo"], "comes with its weights"),
    ],
    ids=["misspelt", "packaged"],
)
def test_what_cannot_be_pulled_says_why(tmp_path: Path, words: list[str], why: str) -> None:
    told = command(*words, cache=tmp_path)
    assert isinstance(told.exception, SetupError)
    assert why in told.exception.detail


def test_a_file_is_of_one_model(tmp_path: Path) -> None:
    told = command("pull", NUMBERED, UNNUMBERED, "--from", "model.pth", cache=tmp_path)
    assert told.exit_code == 2


def test_a_name_in_any_spelling_finds_its_entry_and_one_that_nobody_knows_none() -> None:
    assert find_entry("vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco").name == (
        "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco"
    )
    with pytest.raises(SetupError, match="No model is called"):
        find_entry("no such thing")


def test_a_cache_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SetupError, match="BOXYARD_WEIGHTS_DIR"):
        pull(catalogue()[NUMBERED], settings_for(tmp_path / "file" / "cache"), [], quiet)


def test_a_model_without_published_weights_says_so(tmp_path: Path) -> None:
    entry = catalogue()[NUMBERED].model_copy(update={"weights_url": ""})
    with pytest.raises(SetupError, match="Nobody publishes weights"):
        pull(entry, settings_for(tmp_path), [], quiet)


def add(cache: Cache, name: str, content: bytes, folder: Path) -> Record:
    (folder / "draft").write_bytes(content)
    return cache.add(name, folder / "draft", source="here", source_sha256="0" * 64)


def test_removing_a_model_leaves_weights_that_another_shares(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    first, second = (add(cache, name, b"same", tmp_path) for name in ("first", "second"))
    assert cache.path(first) == cache.path(second)
    assert cache.remove("first") == [first]
    assert cache.intact(second)
    assert cache.remove(second.sha256[:8]) == [second]
    assert not cache.path(second).exists()
    assert cache.records() == []


def test_new_weights_of_a_model_replace_the_old_ones(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    old, new = (add(cache, "model", body, tmp_path) for body in (b"old", b"new"))
    assert cache.records() == [new]
    assert not cache.path(old).exists()


def test_a_few_digits_of_a_digest_remove_nothing(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    record = add(cache, "model", b"body", tmp_path)
    assert cache.remove(record.sha256[:7]) == []
    assert cache.remove("") == []


def test_a_record_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    (tmp_path / "models" / "model.json").mkdir(parents=True)
    with pytest.raises(SetupError, match=r"cannot be read: .*BOXYARD_WEIGHTS_DIR"):
        Cache(tmp_path).records()


def test_a_damaged_record_is_named_with_its_remedy(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    add(cache, "model", b"body", tmp_path)
    (tmp_path / "cache" / "models" / "model.json").write_text("{")
    with pytest.raises(SetupError, match="boxyard models pull model"):
        cache.find("model")
