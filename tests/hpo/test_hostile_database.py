"""What anybody could write into a study's database: no code runs, and each ends in one sentence."""

import json
import pickle
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from hpo.study.confirmations import keep_result
from hpo.study.evaluations import Look, keep_look
from hpo.study.limits import BUDGET
from tests.hpo.command import Hpo
from tests.hpo.fixture_types import Searched

COMMANDS = ("status tiny", "run tiny --trials 3", "report tiny", "export tiny", "worker tiny")
ATTRIBUTES = {
    "study_user_attributes": "value_json",
    "study_system_attributes": "value_json",
    "trial_user_attributes": "value_json",
    "trial_system_attributes": "value_json",
}
COLUMNS = {
    "trial_params": ("param_value", "distribution_json"),
    "trial_values": ("value", "value_type"),
    "trial_intermediate_values": ("intermediate_value", "intermediate_value_type"),
    "trials": ("state", "datetime_start"),
    "study_directions": ("direction",),
}
ESCAPE = "\x1b]0;owned\x07\x9b31m"


class Trap:
    """What makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.folder,)


@pytest.fixture
def database(searched: Searched, tmp_path: Path) -> Path:
    """A study that has every attribute that the program ever writes."""
    study = searched().study
    keep_result(study, 0, 0, {"error": 0.5, "tasks": 40, "outcomes": ""})
    keep_look(study, Look("2026", "best.safetensors", 0.5, (0.4, 0.6), 40, "drawn"))
    study.set_user_attr(BUDGET, {"amount": 1e6, "unit": "seconds"})
    study.set_user_attr(
        "warm_start", {"study": "other", "token": "t", "best": [0], "informative": [1]}
    )
    study.enqueue_trial({"conv1_kernel": 3})
    study._storage.set_trial_system_attr(4, "completed_rung_0", 0.5)
    study._storage.set_trial_system_attr(4, "tpe:relative_params:0", "{}")
    study._storage.set_trial_system_attr(4, "cma:optimizer:0", "00")
    for name, value in {
        "fallback": "no kernel",
        "images_at_once": 8,
        "retry_of": 1,
        "first_try": 1,
        "deaths": 0,
        "from": "other trial 1",
        "resumed_at": 0,
        "seed": 3,
    }.items():
        study._storage.set_trial_user_attr(4, name, value)
    return tmp_path / "studies/tiny/study.db"


def rows(database: Path, table: str) -> list[int]:
    """All rows of a table about the study, and of one about trials those of the first and last."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid").fetchall()
        names = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
    if "trial_id" in names:
        place = 1 + names.index("trial_id")
        ends = {found[0][place], found[-1][place]}
        found = [row for row in found if row[place] in ends]
    return [row[0] for row in found]


def write(database: Path, table: str, column: str, row: int, value: object) -> object:
    """Change a value, and give the one that was there."""
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        (before,) = connection.execute(
            f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)
        ).fetchone()
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))
    return before


def in_turn(database: Path, values: dict[str, list[tuple[str, object]]]) -> Iterator[str]:
    """Each of these values in the place of each of a table, one at a time."""
    for table, changes in values.items():
        for row in rows(database, table):
            for column, value in changes:
                before = write(database, table, column, row, value)
                yield f"{table} {row} {column}"
                write(database, table, column, row, before)


def check(hpo: Hpo, line: str, where: str) -> None:
    """See that a command works, or ends in one sentence."""
    done = hpo(line)
    said = f"{where}: {line}: {done.err}"
    assert done.status in (0, 2), said
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", done.out + done.err), said
    if done.status == 2:
        assert done.err.strip().splitlines()[-1].startswith("hpo: "), said


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("status tiny", "hex"),
        *(pytest.param(line, "hex", marks=pytest.mark.soak) for line in COMMANDS[1:]),
        *(pytest.param(line, "escapes", marks=pytest.mark.soak) for line in COMMANDS),
    ],
)
def test_what_is_written_into_an_attribute_is_never_run(
    hpo: Hpo, database: Path, tmp_path: Path, line: str, form: str
) -> None:
    trap = tmp_path / "trapped"
    payload = pickle.dumps(Trap(trap))
    pickle.loads(payload)
    trap.rmdir()  # it works
    value = {"hex": payload.hex(), "escapes": ESCAPE}[form]
    text: object = json.dumps(value)
    changes = {table: [(column, text)] for table, column in ATTRIBUTES.items()}
    count = 0
    for where in in_turn(database, changes):
        check(hpo, line, where)
        assert not trap.exists(), where
        count += 1
    assert count > 35


@pytest.mark.soak
@pytest.mark.parametrize("line", COMMANDS[:3])
def test_other_values_in_a_row_end_in_one_sentence(hpo: Hpo, database: Path, line: str) -> None:
    other = ["x", 1e300, "[" * 5000]
    changes = {
        table: [(column, value) for column in columns for value in other]
        for table, columns in COLUMNS.items()
    }
    for number, where in enumerate(in_turn(database, changes)):
        if not where.startswith("trial_params") or number % 7 == 0:  # those are all alike
            check(hpo, line, where)


def test_a_sampler_that_unpickles_is_no_choice(hpo: Hpo, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        ((row, text),) = connection.execute(
            "SELECT rowid, value_json FROM study_user_attributes WHERE key = 'settings'"
        )
    settings = json.loads(text)
    settings["search"]["sampler"] = "cmaes"
    write(database, "study_user_attributes", "value_json", row, json.dumps(settings))
    for line in COMMANDS:
        assert "search.sampler" in hpo(line).err
    assert "cmaes" not in {name.lower() for name in dir(optuna.samplers)} - {"cmaessampler"}
