"""What `hpo run` takes and says, up to the search itself."""

import shlex
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import unquote

import pytest

from hpo.study.settings import keys_of, read_settings
from hpo.study.trials import finished
from tests.hpo.command import Hpo, refused
from tests.hpo.fixture_types import Searched
from tests.hpo.tiny_study import open_tiny, write_tiny


def test_the_keys_of_a_study_are_listed_as_set_takes_them(hpo: Hpo, tmp_path: Path) -> None:
    file = write_tiny(tmp_path / "studies")
    changes = ["training.epochs=9", "search.first=[{ fc_units = 128, conv1_lr = 1e-2 }]"]
    options = " ".join(f"--set '{change}'" for change in changes)
    listed = hpo(f"run tiny --keys {options} --sampler tpe").out.splitlines()
    assert "training.epochs=9" in listed
    assert 'search.sampler="tpe"' in listed
    assert "space.multiply_adds is not set" in listed
    assert "search.first=[{ fc_units = 128, conv1_lr = 0.01 }]" in listed
    given = [line for line in listed if "=" in line]
    again = keys_of(read_settings(file, given))
    assert again == keys_of(read_settings(file, [*changes, "search.sampler=tpe"]))
    assert list(again) == [line.partition("=")[0].removesuffix(" is not set") for line in listed]
    assert sorted(tmp_path.rglob("*.*")) == [file]


MADE = "--set training.epochs=1 --set full_training.epochs=2 --sampler tpe --pruner median --seed 0"


def test_a_study_keeps_its_changes_and_they_need_not_be_typed_again(
    hpo: Hpo, tmp_path: Path
) -> None:
    write_tiny(tmp_path / "studies")
    made = hpo(f"run tiny --trials 1 {MADE}")
    line = (
        "changes  training.epochs=1, full_training.epochs=2, search.sampler=tpe, "
        "search.pruner=median, search.seed=0\n"
    )
    assert line in made.err
    for trials, given in ((2, ""), (3, "--set training.epochs=1 --seed 0"), (4, MADE)):
        extended = hpo(f"run tiny --trials {trials} {given}")
        assert extended.status == 0, extended.err
        assert line in extended.err
        stored = open_tiny(tmp_path)
        assert len(stored.study.trials) == trials
        assert (stored.settings.training.epochs, stored.settings.search.seed) == (1, 0)
    assert hpo("worker tiny").status == 0


def test_another_change_or_another_study_file_is_refused_as_ever(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo(f"run tiny --trials 1 --workers 0 {MADE}").status == 0
    for given, difference in (
        ("--set training.epochs=3", "training.epochs: 1 → 3"),
        ("--seed 7", "search.seed: 0 → 7"),
        ("--set training.patience=4", "training.patience: 20 → 4"),
    ):
        assert refused(hpo(f"run tiny --trials 1 {given}"), f"other settings ({difference})")
    write_tiny(tmp_path / "studies", **{"steps = 4": "steps = 5"})
    assert refused(hpo("run tiny --trials 1"), "other settings (training.sampling.steps: 4 → 5)")
    assert not open_tiny(tmp_path).study.trials


def test_a_study_without_changes_says_nothing_of_them(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    for trials in (1, 2):
        assert "changes" not in hpo(f"run tiny --trials {trials}").err


@pytest.mark.soak
def test_the_largest_seeds_are_seeds(hpo: Hpo, tmp_path: Path) -> None:
    largest = f"={2**63 - 1}"
    file = write_tiny(tmp_path / "studies")
    seeds = [key for key in keys_of(read_settings(file)) if "seed" in key]
    assert seeds
    options = " ".join(f"--set {key}{largest}" for key in seeds)
    for line in (
        f"run tiny --trials 2 --sampler tpe {options}",
        "confirm tiny --top 1 --tasks 20",
        "export tiny -o best.toml",
        f"train best.toml -o best.safetensors --seed {2**63 - 1}",
    ):
        done = hpo(line)
        assert done.status == 0, done.err


@pytest.mark.parametrize("line", ["run tiny --trials 2", "worker tiny"])
def test_the_end_of_the_time_is_no_failure(hpo: Hpo, tmp_path: Path, line: str) -> None:
    write_tiny(tmp_path / "studies")
    assert hpo("run tiny --trials 2 --workers 0").status == 0
    outcome = hpo(f"{line} --timeout 0")
    assert outcome.status == 0, outcome.err
    assert "stopped by the time is up; " in outcome.err
    assert finished(open_tiny(tmp_path).study) == 0


def test_what_was_asked_for_reaches_the_workers(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny(tmp_path / "studies")
    (tmp_path / "mine").mkdir()
    started, on_ray = Mock(), Mock(return_value=None)
    started.return_value.run.return_value = None
    monkeypatch.setattr("hpo.cli.run.Workers", started)
    monkeypatch.setattr("hpo.cli.run.run_on_ray", on_ray)
    line = "run tiny --trials 2 --workers 3 --timeout 90 --results there --data mine"
    assert hpo(f"{line} --device cpu").status == 0
    jobs = started.call_args.args[0]
    folders = (tmp_path / "there", tmp_path / "mine")
    assert [(job.results, job.data) for job in jobs] == [folders] * 3
    assert started.return_value.run.call_args.args[1] == 90
    assert hpo(f"{line} --ray local --trials-per-gpu 2").status == 0
    address, job, workers, trials_per_gpu, _, timeout, _ = on_ray.call_args.args
    assert (address, workers, trials_per_gpu, timeout) == ("local", 3, 2, 90)
    assert (job.results, job.data) == folders


def test_the_line_that_goes_on_shows_no_secret(
    hpo: Hpo, searched: Searched, tmp_path: Path
) -> None:
    searched()
    write_tiny(tmp_path / "studies", "newer")
    here = "sqlite:///a.db?cached_statements=96"
    there = "sqlite:///studies/tiny/study.db?cached_statements=87"
    line = f"run newer --trials 2 --from tiny --timeout 0 --storage {here} --from-storage={there}"
    stopped = hpo(line)
    assert stopped.status == 0, stopped.err
    again = stopped.err.partition("the same line goes on: hpo ")[2].splitlines()[0]
    assert shlex.split(unquote(again)) == shlex.split(
        line.replace("96", "***").replace("87", "***")
    )
