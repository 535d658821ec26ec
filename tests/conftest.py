"""What many tests need: the drawn alphabets, the real data where it is at hand, tiny studies."""

import hashlib
import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from alembic.script import ScriptDirectory
from hypothesis import settings
from optuna.storages._rdb.storage import _VersionManager

from data.drawings import Drawings
from data.sources import omniglot
from data.sources import strokes as strokes_module
from data.sources.strokes import load_strokes
from data.split import Split, split
from data.tasks import OneShotTasks, draw_tasks
from model.fast.heap import spare_the_living
from model.inputs import Inputs

settings.register_profile("ours", deadline=None, derandomize=True, database=None)
settings.load_profile("ours")  # the same cases everywhere, however slow the machine is
torch.set_num_threads(1)  # several workers share the cores, and trainings repeat exactly
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported


def pytest_collection_finish() -> None:
    """Take what was imported out of the garbage collection that ends every trial."""
    spare_the_living()


@pytest.fixture(scope="session", autouse=True)
def tables_known() -> Iterator[None]:
    """Optuna reads the versions of its tables from files for every storage; here once."""
    read, known = _VersionManager._create_alembic_script, list[ScriptDirectory]()

    def read_once(manager: _VersionManager) -> ScriptDirectory:
        if not known:
            known.append(read(manager))
        return known[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_VersionManager, "_create_alembic_script", read_once)
        yield


@pytest.fixture
def own_threads() -> Iterator[None]:
    """What the test sets PyTorch's threads to is undone after it."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def strokes(pytestconfig: pytest.Config) -> Drawings:
    """The drawn alphabets at full size; kept by pytest until their code changes."""
    code = hashlib.sha256(Path(strokes_module.__file__).read_bytes()).hexdigest()
    return load_strokes(0, pytestconfig.cache.mkdir(f"strokes-{code}"))


@pytest.fixture(scope="session")
def small_split(strokes: Drawings) -> Split:
    """The drawn alphabets at 20×20, cut."""
    return split(strokes.resized(20))


@pytest.fixture(scope="session")
def small_tasks(small_split: Split) -> OneShotTasks:
    """100 validation tasks at 20×20."""
    return draw_tasks(small_split.validation, 100, seed=3)


@pytest.fixture(scope="session")
def small_inputs(small_split: Split, small_tasks: OneShotTasks) -> Inputs:
    """Both, on the CPU."""
    return Inputs(small_split, small_tasks, torch.device("cpu"), "strokes-1-0")


@pytest.fixture(scope="session")
def omniglot_folder() -> Path:
    """The folder of the real Omniglot zips."""
    named = os.environ.get("HPO_DATA")
    if not named or not (Path(named) / "images_background.zip").is_file():
        pytest.skip("needs Omniglot: set HPO_DATA to the folder with its two zips")
    return Path(named).resolve()


@pytest.fixture(scope="session")
def real_omniglot(omniglot_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Drawings:
    """The real Omniglot, read once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HPO_CACHE", str(tmp_path_factory.mktemp("packed")))
        return omniglot.load(omniglot_folder)


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """Every kind of device, fp32 meaning fp32; those that this machine lacks are skipped."""
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return torch.device(request.param)


@contextmanager
def ordinary_user(folder: Path) -> Iterator[None]:
    """Be a user who owns ``folder`` and may not write everywhere, even where root tests."""
    if os.geteuid() != 0:
        yield
        return
    nobody = pwd.getpwnam("nobody").pw_uid
    for parent in folder.parents:  # other tests at the same time may need it, too
        mode = parent.stat().st_mode
        if mode & 0o011 != 0o011:
            parent.chmod(mode | 0o011)
    os.chown(folder, nobody, -1)
    os.seteuid(nobody)
    try:
        yield
    finally:
        os.seteuid(0)
