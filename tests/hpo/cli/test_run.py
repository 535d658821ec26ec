"""What `hpo run` takes and says, up to the search itself."""

from pathlib import Path

from hpo.study.settings import keys_of, read_settings
from tests.hpo.command import Hpo
from tests.hpo.tiny_study import write_tiny


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
