"""A study that was searched: its trials as a table, and its best configuration."""

import os
import warnings

import pandas as pd
from optuna.exceptions import ExperimentalWarning

from hpo.api.errors import in_a_sentence
from hpo.report.table import trials_table
from hpo.results.export import export_best
from hpo.study.paths import find_study
from hpo.study.storage import open_storage, storage_errors
from hpo.study.study import StoredStudy, load
from model.configuration import Configuration


@in_a_sentence
def load_study(study: str | os.PathLike[str], storage: str | None = None) -> StoredStudy:
    """A study that `hpo run` made; it is read, and never changed.

    Args:
        study: a name under ``studies/``, or the path of a study file.
        storage: the database's URL; left out, ``HPO_STORAGE``, or ``study.db`` in the study's
            folder.

    Returns:
        The study with its settings. Its ``study`` is the one of Optuna.

    Raises:
        SettingsError: there is no such study file.
        StorageError: the database is absent, or cannot be reached or read.
        StudyError: it does not hold this study.
    """
    place = find_study(os.fspath(study), storage)
    with storage_errors(place.url), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of Optuna's heartbeat
        return load(place.name, open_storage(place.url, create=False, read_only=True))


@in_a_sentence
def trials_dataframe(study: StoredStudy) -> pd.DataFrame:
    """The trials of a study as ``hpo report --csv`` writes them, as they are now.

    Returns:
        A row for each trial, in the order of their numbers; see `hpo.report.table.trials_table`
        for the columns. ``error`` is in [0, 1], and what a trial does not have is missing.

    Raises:
        StorageError: the database cannot be reached or read.
    """
    with storage_errors(str(study.storage.url)):
        return trials_table(study)


@in_a_sentence
def best_configuration(study: StoredStudy) -> Configuration:
    """The configuration that ``hpo export`` writes, to be trained in full.

    It is of the winner of `hpo confirm` where that was run, else of the trial of the lowest error.
    Its ``to_toml()`` is the text of the file.

    Raises:
        StudyError: no trial has been trained to its end.
        StorageError: the database cannot be reached or read.
    """
    with storage_errors(str(study.storage.url)):
        return export_best(study)
