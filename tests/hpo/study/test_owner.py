import json
import os
import subprocess
import sys

import psutil
import pytest

from hpo.study.owner import Owner, has_ended, owner
from tests.hpo.made_up import gone


def test_a_process_is_told_from_one_that_has_ended() -> None:
    assert not has_ended(owner())
    assert has_ended(gone())


def test_a_process_of_the_same_number_that_began_later_is_another() -> None:
    kept = owner()
    assert has_ended({**kept, "started": kept["started"] - 60})


def test_the_processes_of_other_machines_are_not_judged() -> None:
    nobody: Owner = {**owner(), "pid": 2**22 + 1}
    assert not has_ended({**nobody, "host": "elsewhere"})
    assert not has_ended({**nobody, "space": "elsewhere"})


@pytest.mark.skipif(sys.platform != "linux", reason="start times follow the clock on Linux alone")
def test_a_process_lives_on_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, begun = owner(), psutil.Process().create_time()
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: begun + 3600)
    assert not has_ended(kept)


def test_a_process_that_nobody_waited_for_has_ended_all_the_same() -> None:
    code = "import json; from hpo.study.owner import owner; print(json.dumps(owner()))"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        kept = json.loads(process.stdout.read())
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert psutil.pid_exists(kept["pid"])
        assert has_ended(kept)
