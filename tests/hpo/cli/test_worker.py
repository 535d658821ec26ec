"""What `hpo worker` hands on to the search."""

from pathlib import Path
from unittest.mock import Mock

import pytest

from hpo.workers.worker import Work
from model.fast.threads import Threads
from tests.hpo.command import Hpo
from tests.hpo.tiny_study import write_tiny

pytestmark = pytest.mark.usefixtures("own_threads")


@pytest.fixture
def work(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Instead of a search; the study is there."""
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 5 --workers 0 --storage sqlite:///all.db").status == 0
    made = Mock(return_value=None)
    monkeypatch.setattr("hpo.cli.worker.work", made)
    return made


def test_what_was_asked_for_reaches_the_search(hpo: Hpo, work: Mock, tmp_path: Path) -> None:
    asked = "--device cpu --threads 3 --timeout 7"
    places = "--data images --results there --tensorboard runs"
    (tmp_path / "images").mkdir()
    joined = hpo(f"worker tiny --storage sqlite:///all.db {asked} {places}")
    assert joined.status == 0, joined.err
    assert "study    tiny in sqlite:///all.db: 0 of 5 trials\n" in joined.err
    assert "device   CPU, 3 threads\n" in joined.err
    job, _, stop = work.call_args.args
    images, there, runs = (tmp_path / name for name in ("images", "there", "runs/tiny"))
    threads = Threads(job.threads.most, fixed=3)
    assert job == Work("tiny", "sqlite:///all.db", images, "cpu", there, threads, runs)
    with stop.on_signals():
        assert 6 < stop.left() <= 7


def test_what_ends_it_early_is_said(hpo: Hpo, work: Mock) -> None:
    work.return_value = "the time is up"
    joined = hpo("worker tiny --storage sqlite:///all.db")
    assert joined.status == 0
    assert joined.err.endswith("stopped by the time is up; its trial is handed back\n")
    work.return_value = "Ctrl-C"
    assert hpo("worker tiny --storage sqlite:///all.db").status == 130
