import shutil
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from data.drawings import Drawings
from data.split import Split, split
from hpo import cli
from hpo.search.loop import search
from hpo.search.objective import Objective
from hpo.search.sampler import make_sampler
from hpo.search.stopping import Stop
from hpo.study.limits import WANTED
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, create_or_resume
from hpo.view.terminal import PlainLines
from model import inputs
from model.configuration import DataChoice
from model.inputs import Inputs
from tests.hpo.command import Hpo, run_command
from tests.hpo.fixture_types import Open, Run, Searched
from tests.hpo.tiny_study import open_tiny, tiny_settings, write_tiny

Cut = Callable[[bool, int], Split]
"""The strokes, cut for all drawers or not, at a size."""


@pytest.fixture(scope="session")
def cut_once(strokes: Drawings) -> Cut:
    return cache(lambda all_drawers, side: split(strokes, all_drawers).resized(side))


@pytest.fixture(autouse=True)
def _strokes_are_drawn_and_cut_once(
    strokes: Drawings, cut_once: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    def split_as(choice: DataChoice, drawings: Drawings) -> Split | Mock:
        if drawings is strokes:
            return Mock(resized=partial(cut_once, choice.all_drawers))
        return plain(choice, drawings)

    plain = inputs.split_as
    monkeypatch.setattr("hpo.results.evaluate.split_as", plain)  # imported now, it keeps its own
    monkeypatch.setattr(inputs, "split_as", split_as)
    monkeypatch.setattr("data.sources.by_name.load_strokes", lambda seed, cache: strokes)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'study.db'}"


@pytest.fixture
def open_study(tmp_path: Path, database: str) -> Open:
    """Opens the study ``tiny``, with changes to its settings, anew as a new process would."""

    def open_study(*changes: str) -> StoredStudy:
        storage, settings = open_storage(database, create=True), tiny_settings(tmp_path, *changes)
        stored, _ = create_or_resume("tiny", settings, "strokes-1-0", storage)
        stored.study.sampler = make_sampler(stored)
        return stored

    return open_study


@pytest.fixture
def stored(open_study: Open) -> StoredStudy:
    """The study ``tiny``, new."""
    return open_study()


@pytest.fixture
def run(small_inputs: Inputs, tmp_path: Path) -> Run:
    """Runs a study on the CPU until it holds this many finished trials."""

    def run(stored: StoredStudy, trials: int, runs: Path | None = None) -> str | None:
        stored.study.set_user_attr(WANTED, trials)
        stop, lines = Stop(None), PlainLines(stored)
        results = tmp_path / "results"
        objective = Objective(stored, small_inputs, results, lines, stop.check, runs)
        return search(stored, objective, stop, lines)

    return run


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network."""
    refuse = Mock(side_effect=OSError("Name or service not known"))
    monkeypatch.setattr("data.sources.download.download_url", refuse)


@pytest.fixture
def hpo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Hpo:
    """Runs a command line in an empty folder, with no data anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("HPO_DATA", "HPO_CACHE", "HPO_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    return lambda line: run_command(line, monkeypatch, capsys)


@pytest.fixture(scope="session")
def searched_once(strokes: Drawings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the study ``tiny`` of three trials, ``best.toml`` and ``best.safetensors``."""
    folder = tmp_path_factory.mktemp("searched")
    write_tiny(folder / "studies")
    lines = ("run tiny --trials 3", "export tiny -o best.toml", "train best.toml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("data.sources.by_name.load_strokes", lambda seed, cache: strokes)
        patch.delenv("HPO_STORAGE", raising=False)
        patch.chdir(folder)
        for line in lines:
            patch.setattr(sys, "argv", ["hpo", *line.split()])
            with pytest.raises(SystemExit) as ended:
                cli.main()
            assert not ended.value.code
    return folder


@pytest.fixture
def searched(hpo: Hpo, searched_once: Path, tmp_path: Path) -> Searched:
    """Puts that into the empty folder of the command lines; opens the study, anew each time."""
    shutil.copytree(searched_once, tmp_path, dirs_exist_ok=True)
    return lambda: open_tiny(tmp_path)
