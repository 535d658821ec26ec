"""A study of any size that was never trained: made-up errors that depend on the parameters."""

import json
import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from optuna.distributions import distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.orm import Session

from hpo.study.limits import WANTED
from hpo.study.settings import StudySettings, read_settings
from hpo.study.space import Params
from hpo.study.storage import open_storage
from hpo.study.study import StoredStudy, create_or_resume
from hpo.study.trials import Record

PAPER = Path(__file__).parents[2] / "studies/paper.toml"
BEGIN = datetime(2026, 1, 5, 9)
RUNGS = (2, 5, 11)  # epochs, from 0, after which a made-up trial may be cut


def big_study(
    url: str,
    trials: int = 1000,
    epochs: int = 18,
    settings: StudySettings | None = None,
    name: str = "paper",
) -> StoredStudy:
    """Fill a study with trials: complete, pruned, failed, and one in forty that cannot train.

    Args:
        url: of the database, made if it is absent.
        trials: how many.
        epochs: of a complete trial.
        settings: of the study; left out, those of ``paper`` (27 parameters).
        name: of the study.
    """
    chosen = settings or read_settings(PAPER, ["search.first=[]"])
    stored, _ = create_or_resume(name, chosen, "made-up", open_storage(url, create=True))
    chance, moment = np.random.default_rng(0), BEGIN
    rows = []
    for number in range(trials):
        row = _trial(stored, number, trials, epochs, moment, chance)
        moment = row.datetime_complete or moment
        rows.append(row)
    _add(stored, rows)
    stored.study.set_user_attr(WANTED, trials)
    return stored


def _add(stored: StoredStudy, trials: list[FrozenTrial]) -> None:
    """What `Study.add_trials` writes, in one transaction and not one for every trial."""
    with Session(stored.storage.engine) as session, session.begin():
        for number, trial in enumerate(trials, len(stored.study.trials)):
            row = models.TrialModel(
                study_id=stored.study._study_id,
                number=number,
                state=trial.state,
                datetime_start=trial.datetime_start,
                datetime_complete=trial.datetime_complete,
            )
            session.add_all([row, *_of(row, trial)])


def _of(row: models.TrialModel, trial: FrozenTrial) -> Iterator[models.BaseModel]:
    """The rows of other tables that belong to a trial."""
    if trial.value is not None:
        value, kind = models.TrialValueModel.value_to_stored_repr(trial.value)
        yield models.TrialValueModel(trial=row, objective=0, value=value, value_type=kind)
    for name, chosen in trial.params.items():
        distribution = trial.distributions[name]
        yield models.TrialParamModel(
            trial=row,
            param_name=name,
            param_value=distribution.to_internal_repr(chosen),
            distribution_json=distribution_to_json(distribution),
        )
    for key, attribute in trial.user_attrs.items():
        text = json.dumps(attribute)
        yield models.TrialUserAttributeModel(trial=row, key=key, value_json=text)
    finite = models.TrialIntermediateValueModel.TrialIntermediateValueType.FINITE
    for step, error in trial.intermediate_values.items():
        yield models.TrialIntermediateValueModel(
            trial=row,
            step=step,
            intermediate_value=error,
            intermediate_value_type=finite,
        )


def _difficulty(params: Params) -> float:
    """How far, in [0, ∞), the parameters are from a made-up best place."""
    far = [
        (math.log10(value) + 1.7) ** 2 if name.endswith("_lr") else 0.0
        for name, value in params.items()
    ]
    width = sum(value for name, value in params.items() if name.endswith("_filters")) / 800
    return sum(far) / len(far) * 1.5 + abs(params["conv1_kernel"] - 8) / 40 + 0.1 / (width + 0.2)


def _trial(
    stored: StoredStudy,
    number: int,
    trials: int,
    epochs: int,
    begin: datetime,
    chance: np.random.Generator,
) -> FrozenTrial:
    # As a search does, later trials look nearer to what is good.
    drawn = [stored.space.draw(chance) for _ in range(1 + 4 * number // trials)]
    params = min(drawn, key=_difficulty)
    seed = int(chance.integers(2**31))
    network = stored.space.configuration(params, seed).network
    hard = min(_difficulty(params), 0.85) + chance.normal(0, 0.015)
    curve = hard + (0.95 - hard) * np.exp(-np.arange(epochs) / (epochs / 5))
    errors = np.clip(curve + chance.normal(0, 0.02, epochs), 0.04, 0.95)
    errors = np.round(errors * 320) / 320

    state, reason, ran = TrialState.COMPLETE, None, epochs
    if number % 40 == 39:
        ran = min(3, epochs)
        errors[ran - 1] = 1.0
        reason = "diverged: the loss was no longer finite in epoch 3, by step 64"
    elif number % 50 == 17:
        state, ran = TrialState.FAIL, min(4, epochs)
        reason = "its process died"
    else:
        for rung in RUNGS:
            if rung < epochs - 1 and errors[: rung + 1].min() > 0.95 - 0.045 * rung:
                state, ran = TrialState.PRUNED, rung + 1
                break
    kept = [float(e) for e in errors[:ran]]
    rate = 9e10 / network.multiply_adds
    seconds = ran * 27_000 / rate
    record = Record(
        seed=seed,
        weights=network.weights,
        multiply_adds=network.multiply_adds,
        device="a made-up device",
        precision="fp32",
        best_epoch=kept.index(min(kept)),
        best_error=min(kept),
        pairs_per_second=round(rate, 1),
        seconds=round(seconds, 2),
        peak_memory_mb=200 + network.weights // 100_000,
        fail_reason=reason,
    )
    value = kept[-1] if state == TrialState.PRUNED else 1.0 if reason else min(kept)
    trial = create_trial(
        state=state,
        params=params,
        distributions=stored.space.distributions,
        value=None if state == TrialState.FAIL else value,
        intermediate_values=dict(enumerate(kept)),
        user_attrs=record.attributes,
    )
    trial.datetime_start = begin
    trial.datetime_complete = begin + timedelta(seconds=seconds + 5)
    return trial
