from pathlib import Path

import pytest

from hpo.search.objective import Objective
from hpo.search.sampler import make_sampler
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, create_or_resume
from model.training import Trainer
from tests.hpo.fixture_types import Run
from tests.hpo.tiny_study import tiny_settings


def test_the_value_of_a_trial_is_its_lowest_error_and_not_its_last(
    stored: StoredStudy, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = iter([(0.4, "AA"), (0.3, "gQ"), (0.6, "AQ")])

    def validate(trainer: Trainer) -> float:
        error, trainer.right = next(found)
        return error

    monkeypatch.setattr(Trainer, "validate", validate)
    run(stored, 1)
    (trial,) = stored.study.trials
    assert trial.value == 0.3
    assert trial.intermediate_values == {0: 0.4, 1: 0.3, 2: 0.6}
    kept = trial.user_attrs
    assert (kept["best_epoch"], kept["best_error"], kept["outcomes"]) == (1, 0.3, "gQ")


def test_the_seed_of_a_trial_follows_from_the_studys_seed_and_its_number(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Objective, "_train", lambda *_: 0.5)

    def seeds(name: str, seed: int) -> list[int]:
        storage = open_storage(f"sqlite:///{tmp_path / name}.db", create=True)
        settings = tiny_settings(tmp_path, f"search.seed={seed}")
        stored, _ = create_or_resume("tiny", settings, "strokes-1-0", storage)
        stored.study.sampler = make_sampler(stored)
        run(stored, 2)
        return [trial.user_attrs["seed"] for trial in stored.study.trials]

    one, again, other = seeds("one", 7), seeds("again", 7), seeds("other", 8)
    assert one == again
    assert len({*one, *other}) == 4
