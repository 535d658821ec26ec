"""Ctrl-C at any moment of a command, loading PyTorch included."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hpo.processes import begin, wait_until
from tests.hpo.tiny_study import write_tiny


def interrupted(process: subprocess.Popen[str]) -> str:
    """What a command says whose terminal sends Ctrl-C to it and all that it started."""
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    return said


@pytest.mark.skipif(sys.platform != "linux", reason="looks at what a process has loaded")
@pytest.mark.parametrize("library", ["libtorch", "_multiarray_umath"])
def test_ctrl_c_while_libraries_load_is_one_line(tmp_path: Path, library: str) -> None:
    process = begin(tmp_path, "run demo --trials 9", own_group=True)
    maps = Path(f"/proc/{process.pid}/maps")
    wait_until(lambda: library in maps.read_text() or process.poll() is not None)
    assert interrupted(process) == "hpo: interrupted\n"
    assert process.returncode == 130


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2))
def test_ctrl_c_at_any_moment_of_a_search_leaves_no_traceback(tmp_path: Path, seed: int) -> None:
    write_tiny(tmp_path / "studies", **{"steps = 4": "steps = 40"})
    process = begin(tmp_path, "run tiny --trials 40 --workers 2", own_group=True)
    time.sleep(random.Random(seed).uniform(0.5, 12))
    said = interrupted(process)
    assert "Traceback" not in said, said
    assert process.returncode == 130, said
