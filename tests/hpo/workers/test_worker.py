"""A process of a search, before it has its study."""

from pathlib import Path
from typing import Any

import pytest

from hpo.search.stopping import Stop
from hpo.study.storage import NoStudy, StorageError
from hpo.workers import worker
from hpo.workers.worker import Work, work


def job(folder: Path) -> Work:
    return Work("tiny", f"sqlite:///{folder}/study.db", folder, "cpu", folder)


def test_a_worker_waits_for_its_database_until_it_is_told_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, told = Stop(None), list[bool]()

    def open_storage(url: str, *, create: bool, give_up: Any) -> None:
        assert not create
        told.append(give_up())
        stop.reason = "Ctrl-C"
        told.append(give_up())
        raise StorageError("it is away")

    monkeypatch.setattr(worker, "open_storage", open_storage)
    with pytest.raises(StorageError, match="it is away"):
        work(job(tmp_path), stop=stop)
    assert told == [False, True]


def test_a_study_that_is_not_there_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(NoStudy):
        work(job(tmp_path))
