"""A search and all that comes after it, once: what the commands say, and what is kept.

Figures are masked where processors differ. After a change that is meant, ``pytest
--snapshot-update`` writes it anew; read what has changed.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from hpo.study.study import StoredStudy
from tests.hpo.command import Hpo
from tests.hpo.masks import any_making, five_digits
from tests.hpo.tiny_study import open_tiny, write_tiny

EXACT = ("best_epoch", "device", "multiply_adds", "precision", "seed", "tasks", "weights")
"""What is kept of a training and the same on every processor."""


def masked(text: str, folder: Path) -> str:
    """Without times, paths, and the figures that differ between processors."""
    text = text.replace(str(folder), "FOLDER")
    text = re.sub(r"\d{4}-\d\d-\d\d[ T][-+:.\w]+", "TIME", text)
    text = re.sub(r"\d+\.\d+(e-?\d+)?", "#", text)
    text = re.sub(r"p [=<] #", "p #", text)
    text = re.sub(r"[\d,.]+ pairs/s", "# pairs/s", text)
    text = re.sub(r"[#\d]+ (s|min|ms)\b", "# s", text)
    text = re.sub(r'#,\d+,"CPU', '#,#,"CPU', text)  # a trial's memory
    return "\n".join(re.sub(" {2,}|─+|━+", "  ", line).rstrip() for line in text.splitlines())


def exported(text: str) -> str:
    """A configuration, its settings whole, but for what differs between studies and processors."""
    text = re.sub(r'study_token = ".*"', 'study_token = "…"', any_making(five_digits(text)))
    return re.sub(r"^(error|confirmed_\w+) = \d\.\d+", r"\1 = #", text, flags=re.MULTILINE)


def kept(stored: StoredStudy) -> Iterator[str]:
    """What the study keeps: exactly what a seed decides, of all else the names."""
    for name, value in sorted(stored.study.user_attrs.items()):
        training = isinstance(value, dict) and "best_epoch" in value
        exact = [f"{key}={value[key]}" for key in EXACT if key in value] if training else []
        yield " ".join([re.sub(r":\d{4}-.*", ":TIME", name), *exact])
    for trial in stored.study.trials:
        epochs = len(trial.intermediate_values)
        yield f"trial {trial.number}: {trial.state.name} after {epochs} epochs"
        yield " ".join(f"{name}={value:.5g}" for name, value in sorted(trial.params.items()))
        attributes = sorted(trial.user_attrs.items())
        yield " ".join(f"{name}={x}" if name in EXACT else name for name, x in attributes)
        yield f"{len(trial.system_attrs)} pictures"


def files(folder: Path) -> str:
    """All that was written, but what is packed in the cache."""
    found = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
    names = (re.sub(r"[-0-9a-f]{36}|[0-9a-f]{8,}", "…", name) for name in found)
    return "\n".join(name for name in names if not name.startswith("cache/"))


@pytest.fixture(autouse=True)
def _one_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpo.study.paths._shipped_folders", tuple)
    longer = {"steps = 4\n": "steps = 12\n", "epochs = 3\n": "epochs = 3\nprecision = 'fp32'\n"}
    write_tiny(tmp_path / "studies", **longer)


def test_a_search(hpo: Hpo, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    for line in (
        "run tiny --trials 2 --pruner median --threads 1",
        "run tiny --trials 3 --threads 1",
        "status tiny",
    ):
        said = hpo(line)
        assert masked(said.out, tmp_path) == snapshot(name=f"stdout of {line}")
        assert masked(said.err, tmp_path) == snapshot(name=f"stderr of {line}")
    assert "\n".join(kept(open_tiny(tmp_path))) == snapshot(name="study")
    assert files(tmp_path) == snapshot(name="files")


@pytest.mark.soak
def test_what_comes_after_a_search(hpo: Hpo, tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    assert hpo("run tiny --trials 3 --threads 1").status == 0
    for line in (
        "confirm tiny --top 2 --seeds 2 --tasks 60 --threads 1",
        "export tiny -o best.toml",
        "train best.toml --threads 1",
        "train best.toml --as-trial -o again.safetensors --threads 1",
        "evaluate best.safetensors again.safetensors --tasks 40",
        "evaluate best.safetensors --tasks 40 --shots 1,3",
        "verify best.toml --steps 4 --threads 1",
        "list",
        "report tiny --csv -",
    ):
        said = hpo(line)
        assert said.status == 0, said.err
        assert masked(said.out, tmp_path) == snapshot(name=f"stdout of {line}")
        assert masked(said.err, tmp_path) == snapshot(name=f"stderr of {line}")
    assert exported((tmp_path / "best.toml").read_text().rstrip()) == snapshot(name="best.toml")
    assert "\n".join(kept(open_tiny(tmp_path))) == snapshot(name="study")
    assert files(tmp_path) == snapshot(name="files")
    assert hpo("delete tiny --yes").out == snapshot(name="deleted")
    assert files(tmp_path) == snapshot(name="files that are left")
