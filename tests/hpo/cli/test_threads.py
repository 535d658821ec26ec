"""`--threads` of every command that trains, up to where the training begins."""

from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from data.errors import UserError
from hpo.cli.run import _on_ray
from hpo.search.observer import Observer
from hpo.study.study import StoredStudy
from hpo.workers.local import cores_for
from hpo.workers.worker import Work
from model.fast.threads import Threads
from tests.hpo.command import Hpo
from tests.hpo.tiny_study import write_tiny

pytestmark = pytest.mark.usefixtures("own_threads")


@pytest.mark.parametrize(
    "line",
    [
        "run tiny --trials 2",
        "worker tiny",
        "confirm tiny",
        "train best.toml",
        "verify best.toml --steps 8",
    ],
)
def test_it_reaches_the_training(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 1").status == 0
    assert hpo("export tiny -o best.toml").status == 0
    assert hpo("run tiny --trials 2 --workers 0").status == 0
    trainer = Mock(side_effect=UserError("no training in this test"))
    monkeypatch.setattr("model.inputs.Trainer", trainer)
    assert hpo(f"{line} --threads 3").status == 2
    assert trainer.call_args.args[-1] == Threads(most=3, fixed=3)
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)
    assert hpo(line).status == 2
    assert trainer.call_args.args[-1] == Threads(most=1)


def test_it_reaches_every_worker(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is asked for the cores of a worker's share, whatever number of threads it then has."""
    write_tiny(tmp_path / "studies")
    started, on_ray = Mock(), Mock(return_value=None)
    started.return_value.run.return_value = None
    monkeypatch.setattr("hpo.cli.run.Workers", started)
    monkeypatch.setattr("hpo.cli.run.run_on_ray", on_ray)
    share = cores_for(2)

    assert hpo("run tiny --trials 2 --workers 2 --threads 3").status == 0
    assert [job.threads for job in started.call_args.args[0]] == [Threads(share, fixed=3)] * 2
    assert hpo("run tiny --trials 2 --workers 2").status == 0
    assert [job.threads for job in started.call_args.args[0]] == [Threads(share)] * 2

    assert hpo("run tiny --trials 2 --workers 2 --ray local --threads 3").status == 0
    assert on_ray.call_args.args[1].threads == Threads(share, fixed=3)
    assert hpo("run tiny --trials 2 --workers 2 --ray local").status == 0
    assert on_ray.call_args.args[1].threads == Threads(share)


def test_of_the_cores_of_a_clusters_machines_a_worker_takes_one(
    stored: StoredStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_ray = Mock(return_value=None)
    monkeypatch.setattr("hpo.cli.run.run_on_ray", on_ray)
    monkeypatch.setattr("hpo.cli.run.cores_for", lambda workers: 12 // workers)
    job = Work("tiny", str(stored.storage.url), tmp_path, "cpu", tmp_path)
    for address, cores in (("local", 4), ("10.0.0.1:6379", 1), ("auto", 1)):
        _on_ray(stored, job, address, 3, None, None, Observer())
        assert on_ray.call_args.args[1].threads == Threads(most=cores)
