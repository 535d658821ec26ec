"""The commands of `hpo data`, and data that is broken."""

from pathlib import Path
from unittest.mock import Mock

import pytest
from PIL import Image

from data.sources import omniglot
from tests.data.fake_omniglot import PARTS, image_names, png, rewrite, write_fake
from tests.hpo.command import Hpo, refused


def test_broken_data(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omniglot, "PARTS", PARTS)
    folder = write_fake(tmp_path / "omniglot")
    zipped = folder / "images_background.zip"
    whole = zipped.read_bytes()
    zipped.write_bytes(whole[:50_000])
    line = "run small --trials 1 --data omniglot"
    assert refused(hpo(line), "images_background.zip is cut short, damaged")
    zipped.write_bytes(whole)
    rewrite(zipped, {image_names("images_background")[0]: png(side=28)})
    assert refused(hpo(line), "28×28 pixels where Omniglot has 105×105")
    assert not (tmp_path / "studies").exists()
    assert not list((tmp_path / "cache").rglob("*.*"))


def test_data_commands(hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omniglot, "PARTS", PARTS)
    write_fake(tmp_path / "omniglot")
    checked = hpo("data check --data omniglot")
    assert "50 alphabets, 100 characters" in checked.out
    assert "NOT the official ones" in checked.out
    for name in ("strokes", "omniglot"):
        assert hpo(f"data show {name} --data omniglot -o {name}.png").status == 0
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert hpo("data show strokes --alphabets 3 --characters 2 -o small.png").status == 0
    assert Image.open("small.png").size == (20 * 109, 6 * 109)
    assert refused(hpo("data show strokes -o no/such/sheet.png"), "give another with -o")


def test_data_is_fetched_into_a_new_folder(
    hpo: Hpo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = Mock()
    monkeypatch.setattr("data.sources.download.download", fetch)
    assert hpo("data download --data new/folder").out == "new/folder\n"
    fetch.assert_called_once_with(Path("new/folder"))
    assert hpo("data download").out == f"{tmp_path}/cache/hpo\n"


def test_what_the_program_draws_needs_no_check(hpo: Hpo) -> None:
    checked = hpo("data check strokes")
    assert (checked.status, checked.err) == (0, "")
    assert checked.out == "strokes are drawn by the program: there is nothing to check\n"
