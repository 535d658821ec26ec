import json
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock

import pytest
from optuna_dashboard import get_note, save_note
from PIL import Image

from hpo.search.pictures import attach
from hpo.study.storage import StorageError
from hpo.study.study import StoredStudy
from hpo.view.dashboard import HOST, guarded, make_dashboard, note, write_note
from tests.hpo.command import Hpo
from tests.hpo.fixture_types import Open
from tests.hpo.tiny_study import write_tiny

Ask = Callable[..., HTTPResponse]


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    return tmp_path / "artifacts"


@pytest.fixture
def stored(tmp_path: Path, artifacts: Path, open_study: Open) -> StoredStudy:
    """A study whose only trial runs and has a picture."""
    study = open_study()
    trial = study.study.ask()
    trial.set_user_attr("precision", "fp32")
    attach(trial, artifacts, {"dot": Image.new("L", (1, 1))})
    return study


@pytest.fixture(params=[False, True], ids=["read-only", "writable"])
def serving(
    request: pytest.FixtureRequest, stored: StoredStudy, artifacts: Path
) -> Iterator[tuple[bool, Ask]]:
    server = make_dashboard(stored.storage, artifacts, 0, request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def ask(method: str, path: str, host: str | None = None, body: str = "") -> HTTPResponse:
        connection = HTTPConnection(HOST, server.server_port, timeout=30)
        headers = {"Host": host or f"{HOST}:{server.server_port}"}
        connection.request(method, path, body, {**headers, "Content-Type": "application/json"})
        return connection.getresponse()

    yield request.param, ask
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_study_is_shown(serving: tuple[bool, Ask]) -> None:
    _, ask = serving
    studies = json.loads(ask("GET", "/api/studies").read())
    assert "tiny" in json.dumps(studies)
    assert ask("GET", "/api/studies/1").status == 200
    assert b"<html" in ask("GET", "/dashboard/studies/1").read().lower()


def test_pictures_are_shown(serving: tuple[bool, Ask], artifacts: Path) -> None:
    _, ask = serving
    (file,) = artifacts.iterdir()
    answer = ask("GET", f"/artifacts/1/1/{file.name}")
    assert answer.status == 200
    assert answer.read() == file.read_bytes()


def test_nothing_is_changed_unless_it_may_be(
    serving: tuple[bool, Ask], stored: StoredStudy, artifacts: Path
) -> None:
    writable, ask = serving
    note = json.dumps({"body": "hello", "version": 1})
    won = json.dumps({"state": "Complete", "values": [0.0]})
    answers = [
        ask("PUT", "/api/studies/1/note", body=note).status,
        ask("POST", "/api/trials/1/tell", body=won).status,
        ask("DELETE", "/api/studies/1").status,
    ]
    left = stored.storage.get_all_studies()
    if writable:
        assert all(status < 300 for status in answers), answers
        assert left == []
        assert list(artifacts.iterdir()) == []
    else:
        assert answers == [403] * 3
        assert len(list(artifacts.iterdir())) == 1
        assert [s.study_name for s in left] == ["tiny"]
        (trial,) = stored.study.trials
        assert trial.state.name == "RUNNING"


def test_a_foreign_host_is_refused(serving: tuple[bool, Ask]) -> None:
    _, ask = serving
    assert ask("GET", "/api/studies", host="evil.example").status == 403


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1:8080", "200 OK"),
        ("localhost:8080", "200 OK"),
        ("xlocalhost:8080", "403 Forbidden"),
        ("localhost:8080.evil.example", "403 Forbidden"),
        ("localhost:808", "403 Forbidden"),
        ("127.0.0.1", "403 Forbidden"),
        (None, "403 Forbidden"),
    ],
)
def test_the_whole_host_has_to_be_its_own(host: str | None, answer: str) -> None:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        start("200 OK", [])
        return []

    asked = {"REQUEST_METHOD": "GET"} | ({} if host is None else {"HTTP_HOST": host})
    start = Mock()
    guarded(application, 8080, writable=True)(asked, start)
    assert start.call_args.args[0] == answer


def test_it_listens_to_this_machine_alone(stored: StoredStudy, artifacts: Path) -> None:
    with make_dashboard(stored.storage, artifacts, 0, False) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken(stored: StoredStudy, artifacts: Path) -> None:
    with (
        make_dashboard(stored.storage, artifacts, 0, False) as server,
        pytest.raises(StorageError, match=r"cannot be used .* --port"),
    ):
        make_dashboard(stored.storage, artifacts, server.server_port, False)


def test_the_note_says_what_is_searched_and_is_not_written_over(stored: StoredStudy) -> None:
    text = note("tiny", stored.settings, "strokes-1-0", "a CPU")
    for part in ("# tiny", "filters of 3 to 9", "strokes at 20×20", "a CPU", "hpo export tiny"):
        assert part in text
    write_note(stored.study, text)
    assert get_note(stored.study) == text
    save_note(stored.study, "changed by hand")
    write_note(stored.study, text)
    assert get_note(stored.study) == "changed by hand"


def test_the_command_serves_what_was_asked_for(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "tiny"):
        write_tiny(tmp_path / "studies", name)
        line = f"run {name} --trials 1 --workers 0 --storage sqlite:///all.db"
        assert hpo(line).status == 0
    make, browse = Mock(return_value=MagicMock(server_port=8123)), Mock()
    monkeypatch.setattr("hpo.cli.dashboard.make_dashboard", make)
    monkeypatch.setattr("webbrowser.open", browse)
    address = "http://127.0.0.1:8123/dashboard/studies/2"
    plain = hpo("dashboard tiny --storage sqlite:///all.db")
    assert plain.out == f"{address}\n"
    assert "no login" not in plain.err
    assert make.call_args.args[1:] == (Path("studies/tiny/artifacts"), 8080, False)
    browse.assert_called_once_with(address)
    options = "--writable --port 9 --results there --no-browser"
    asked = hpo(f"dashboard tiny --storage sqlite:///all.db {options}")
    assert asked.out == f"{address}\n"
    assert "there is no login" in asked.err
    assert make.call_args.args[1:] == (Path("there/artifacts"), 9, True)
    assert make.return_value.serve_forever.call_count == 2
    assert browse.call_count == 1
