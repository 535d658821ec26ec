"""Searches by real processes on real databases, killed and cut off."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy import create_engine, event, inspect, text

from hpo.study.limits import Budget, set_limits, spending_of
from hpo.study.storage import open_storage
from hpo.study.trials import FINISHED, first_try
from hpo.view.dashboard import make_dashboard
from hpo.view.status import StatusReader
from tests.hpo.big_study import big_study
from tests.hpo.command import Hpo, refused
from tests.hpo.faults import LOCKS
from tests.hpo.made_up import check_standing
from tests.hpo.processes import begin, check_whole, killing, opened, some, wait_until
from tests.hpo.servers import PASSWORD, Postgres, Server
from tests.hpo.tiny_study import tiny_settings, write_tiny


@pytest.mark.soak
def test_workers_that_are_killed_lose_nothing(url: str, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    line = f"run tiny --trials 32 --workers 4 --storage {url} --set training.sampling.steps=12"
    search = begin(tmp_path, f"{line} --set search.pruner=halving")
    stored = opened(url, "tiny")
    with killing(stored, seed=5, every=3) as killed:
        output, _ = search.communicate(timeout=600)
    assert search.returncode == 0, output
    assert len(killed) >= 3
    check_whole(stored, 32)
    check_standing(stored)
    waiting = stored.study.get_trials(states=(TrialState.WAITING,))
    kept = {p.name for p in (tmp_path / "studies").rglob("*.safetensors*")}
    assert kept <= {f"trial-{first_try(t)}.safetensors" for t in waiting}
    retried = [t for t in stored.study.trials if "retry_of" in t.user_attrs]
    assert retried
    for trial in retried:
        assert stored.study.trials[trial.user_attrs["retry_of"]].state == TrialState.FAIL
    assert "geheim" not in output


def test_what_is_spent_is_read_from_every_database(url: str) -> None:
    stored = big_study(url, trials=45, epochs=4, name="spent")
    for budget in (Budget(3600, "seconds"), Budget(1e15, "multiply-adds")):
        set_limits(stored.study, None, budget)
        assert StatusReader(stored).read().spending == spending_of(stored)


READER = {
    "postgresql": (
        "CREATE ROLE reader LOGIN PASSWORD 'lesen'; "
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
    ),
    "mysql": "GRANT SELECT ON hpo.* TO reader@'127.0.0.1' IDENTIFIED BY 'lesen'",
}


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_study_that_may_only_be_read_is_shown(
    kind: str, request: pytest.FixtureRequest, hpo: Hpo, tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue(kind)
    big_study(server.url, trials=8, epochs=3, name="shown", settings=tiny_settings(tmp_path))
    write_tiny(tmp_path / "studies", "shown")
    admin = server.admin()
    with admin.begin() as connection:
        for statement in READER[admin.dialect.name].split(";"):
            connection.execute(text(statement))
    admin.dispose()
    url = server.url.replace(f"hpo:{PASSWORD}", "reader:lesen")
    for line in ("status shown", "report shown -o page.html", "export shown"):
        done = hpo(f"{line} --storage {url}")
        assert done.status == 0, done.err
    served = make_dashboard(open_storage(url, create=False), tmp_path, 0, writable=False)
    served.server_close()
    assert refused(hpo(f"delete shown --yes --storage {url}"), "cannot be used as a study database")


IMPATIENT = {  # what makes a connection give up soon
    "sqlite": "PRAGMA busy_timeout = 100",
    "postgresql": "SET lock_timeout = '200ms'",
    "mysql": "SET innodb_lock_wait_timeout = 1",
}


def test_a_lock_is_waited_for(url: str) -> None:
    stored = big_study(url, trials=2, epochs=1, name="locked")
    trial, engine = stored.study.ask(), stored.storage.engine
    impatient, held = IMPATIENT[engine.dialect.name], LOCKS[engine.dialect.name]
    errors: list[Exception] = []

    def made_impatient(connection: Any, _record: object) -> None:
        connection.cursor().execute(impatient)
        connection.commit()  # PostgreSQL forgets a setting whose transaction is rolled back

    def write(_number: int) -> None:
        try:
            RDBStorage.set_trial_user_attr(stored.storage, trial._trial_id, "written", 1)
        except Exception as error:
            errors.append(error)
            raise

    event.listen(engine, "connect", made_impatient)
    engine.dispose()  # so that every connection is an impatient one
    other = create_engine(engine.url)
    with ThreadPoolExecutor(1) as pool, other.connect() as holder:
        holder.execute(text(held))
        written = pool.submit(stored.storage.outlast, write)
        wait_until(lambda: len(errors) >= 2 or written.done())
        assert not written.done(), written.exception()
        holder.rollback()
        written.result(timeout=60)
    other.dispose()
    assert stored.study.trials[trial.number].user_attrs["written"] == 1


@pytest.mark.soak
def test_a_database_that_is_away_is_waited_for(postgres: Postgres, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies", "away")
    line = f"run away --trials 14 --workers 2 --storage {postgres.url}"
    search = begin(tmp_path, f"{line} --set training.sampling.steps=12")
    stored = opened(postgres.url, "away")
    wait_until(lambda: len(some(stored, *FINISHED)) >= 3)
    stored.storage.engine.dispose()
    postgres.stop()
    time.sleep(20)
    postgres.start()
    output, _ = search.communicate(timeout=300)
    assert search.returncode == 0, output
    assert "waiting for it" in output
    assert "is replaced" not in output
    stored = opened(postgres.url, "away")
    check_whole(stored, 14)
    failed = stored.study.get_trials(states=(TrialState.FAIL,))
    # Both workers may have taken up a trial for the last place: the second hands it back.
    full = "the study was full when it began"
    assert {t.user_attrs.get("fail_reason") for t in failed} <= {full}


@pytest.mark.soak
def test_workers_join_a_study_that_was_only_made(tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies", "joined")
    url = f"sqlite:///{tmp_path / 'study.db'}"
    made = begin(tmp_path, f"run joined --trials 5 --workers 0 --storage {url}")
    output, _ = made.communicate(timeout=120)
    assert made.returncode == 0
    assert "hpo worker joined --storage" in output
    stored = opened(url, "joined")
    assert stored.study.get_trials() == []
    joined = [begin(tmp_path, f"worker joined --storage {url}") for _ in range(2)]
    outputs = [process.communicate(timeout=300)[0] for process in joined]
    assert [process.returncode for process in joined] == [0, 0], outputs
    check_whole(stored, 5)
    hosts = {t.user_attrs["owner"]["pid"] for t in stored.study.get_trials(states=FINISHED)}
    assert hosts <= {process.pid for process in joined}


@pytest.mark.soak
def test_sigterm_hands_the_trials_back_and_the_same_line_goes_on(tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies", "stopped")
    url = f"sqlite:///{tmp_path / 'study.db'}"
    line = f"run stopped --trials 4 --workers 2 --storage {url}"
    line += " --set training.sampling.steps=40 --set training.epochs=6"
    search = begin(tmp_path, line)
    stored = opened(url, "stopped")
    wait_until(lambda: any(t.intermediate_values for t in some(stored)))
    search.terminate()
    begun = time.monotonic()
    output, _ = search.communicate(timeout=60)
    # Ten seconds on a machine of one's own; tests share theirs.
    assert time.monotonic() - begun < 30
    assert search.returncode == 130, output
    states = [t.state for t in stored.study.get_trials(deepcopy=False)]
    assert TrialState.RUNNING not in states
    assert TrialState.WAITING in states
    output, _ = begin(tmp_path, line).communicate(timeout=300)
    check_whole(stored, 4)
    assert any("resumed_at" in t.user_attrs for t in stored.study.trials), output


@pytest.mark.soak
def test_a_budget_ends_workers_in_the_middle_of_their_trials(tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies", "short")
    url = f"sqlite:///{tmp_path / 'study.db'}"
    line = f"run short --budget 8s --workers 2 --storage {url}"
    output, _ = begin(tmp_path, f"{line} --set training.sampling.steps=100000").communicate(
        timeout=200
    )
    stored = opened(url, "short")
    states = [trial.state for trial in some(stored)]
    assert states.count(TrialState.FAIL) == states.count(TrialState.WAITING) == 2, output
    assert len(states) == 4
    assert output.count("budget used up, finishing 2 trials\n") == 1
    assert "the 2 trials that run at once may take" in output
    assert "2 unfinished: a larger --budget goes on with that" in output
    spent = spending_of(stored)
    assert spent is not None
    assert 16 <= spent.spent < 60  # each worker looks every five seconds


@pytest.mark.soak
def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies", "orphans")
    url = f"sqlite:///{tmp_path / 'study.db'}"
    line = f"run orphans --trials 50 --workers 2 --storage {url}"
    search = begin(tmp_path, f"{line} --set training.sampling.steps=100")
    stored = opened(url, "orphans")
    wait_until(lambda: some(stored, TrialState.RUNNING))
    search.kill()
    search.communicate(timeout=60)  # until the last process that can write to its pipe has ended
    assert len(some(stored, *FINISHED)) < 50
    wait_until(lambda: not some(stored, TrialState.RUNNING), timeout=30)


@pytest.mark.soak
def test_a_trial_killed_in_the_middle_ends_at_the_error_of_one_that_was_not(tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies", "whole")
    write_tiny(tmp_path / "studies", "broken")
    longer = "--set training.epochs=6 --set training.sampling.steps=30"
    urls = {name: f"sqlite:///{tmp_path / name}.db" for name in ("whole", "broken")}

    lines = {name: f"run {name} --trials 1 --storage {url} {longer}" for name, url in urls.items()}
    whole = begin(tmp_path, lines["whole"])
    assert whole.wait(timeout=120) == 0
    broken = begin(tmp_path, lines["broken"])
    stored = opened(urls["broken"], "broken")
    wait_until(lambda: any(len(t.intermediate_values) >= 2 for t in some(stored)))
    broken.kill()
    broken.communicate()
    output, _ = begin(tmp_path, lines["broken"]).communicate(timeout=120)
    killed, retried = stored.study.trials
    assert killed.state == TrialState.FAIL
    assert retried.state == TrialState.COMPLETE, output
    assert retried.user_attrs["resumed_at"] >= 1
    (never,) = opened(urls["whole"], "whole").study.trials
    assert retried.params == never.params
    assert retried.intermediate_values == never.intermediate_values
    assert retried.value == never.value


@pytest.mark.soak
def test_ray_places_the_workers_and_starts_a_lost_one_anew(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs Ray: install the extra ray")
    write_tiny(tmp_path / "studies", "placed")
    url = f"sqlite:///{tmp_path / 'study.db'}"
    line = f"run placed --trials 12 --workers 2 --ray local --storage {url}"
    search = begin(tmp_path, f"{line} --set training.sampling.steps=60")
    stored = opened(url, "placed")
    wait_until(lambda: some(stored, TrialState.RUNNING))
    with killing(stored, seed=1, every=3) as killed:
        wait_until(lambda: killed)
    output, _ = search.communicate(timeout=600)  # Ray's workers give way to others
    assert search.returncode == 0, output
    check_whole(stored, 12)
    assert len({t.user_attrs["owner"]["pid"] for t in stored.study.get_trials(states=FINISHED)}) > 1
    assert any("retry_of" in t.user_attrs for t in stored.study.trials)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("geheim-7", "falsch"), "cannot be used as a study database .*password"),
        (("@127.0.0.1", "@nowhere.invalid"), "cannot be used as a study database"),
        (("/hpo", "/postgres"), "holds no studies yet: start one with `hpo run tiny "),
    ],
)
def test_a_database_that_cannot_be_used_is_one_sentence(
    postgres: Postgres, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    write_tiny(tmp_path / "studies")
    url = postgres.url.replace(*change) if change[0] != "/hpo" else postgres.url[:-3] + "postgres"
    process = begin(tmp_path, f"status tiny --storage {url}")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert re.search(message, output)
    assert output.count("\n") == 1
    assert not any(secret in output for secret in ("geheim", "falsch"))
    if change[0] == "/hpo":
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        assert inspect(engine).get_table_names() == []
        engine.dispose()
