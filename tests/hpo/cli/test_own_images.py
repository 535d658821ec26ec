"""A folder of one's own images, from the search to the class of a new one."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.configuration import Configuration
from tests.hpo.command import Hpo, refused
from tests.hpo.tiny_study import TINY, open_tiny

DOCS = Path(__file__).parents[3] / "docs"
SHORT = (
    "training.epochs=1",
    "training.sampling.steps=2",
    "full_training.epochs=1",
    "full_training.patience=1",
    "data.validation_tasks=20",
)
MINE = TINY.replace(
    'set = "strokes"\nvalidation_tasks = 40',
    'set = "folder"\npath = "my photos"\nway = 3\nvalidation_tasks = 30',
).replace("image_size = 20", "image_size = 20\nchannels = 3")


def draw(file: Path, hue: int, place: int) -> None:
    """A square of a class's colour somewhere on white paper."""
    pixels = np.full((30, 30, 3), 255, np.uint8)
    row, column = 3 + 4 * (place // 4), 3 + 5 * (place % 4)
    pixels[row : row + 9, column : column + 9] = (25 * hue % 256, 83 * hue % 256, 201 * hue % 256)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve classes of two to four images."""
    folder = tmp_path / "my photos"
    for hue in range(1, 13):
        for place in range(2 + hue % 3):
            draw(folder / f"thing {hue}" / f"{place}.png", hue, place)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/tiny.toml").write_text(MINE)
    return folder


def test_from_a_folder_to_the_class_of_a_new_image(hpo: Hpo, photos: Path) -> None:
    searched = hpo("run tiny --trials 2")
    assert searched.status == 0, searched.err
    assert "folder at 20×20: 6 characters to train on, 30 validation tasks" in searched.err
    assert hpo("confirm tiny --top 1 --seeds 1 --tasks 100").status == 0
    exported = hpo("export tiny -o best.toml")
    assert exported.status == 0, exported.err
    configuration = Configuration.read(Path("best.toml"))
    assert (configuration.network.channels, configuration.data.way) == (3, 3)
    assert configuration.data.path is None
    data = f"--data {shutil.move(photos, 'moved')}"
    trained = hpo(f"train best.toml {data}")
    assert trained.status == 0, trained.err
    assert "the data is not the trial's" not in trained.err
    scored = hpo(f"evaluate best.safetensors {data} --json")
    assert scored.status == 0, scored.err
    network, neighbour = json.loads(scored.out)
    assert (network["name"], network["tasks"]) == ("siamese", 399)
    assert (neighbour["name"], neighbour["tasks"]) == ("nearest neighbour by pixels", 399)
    assert network["source"] == "399 random draws, 3-way, seed 0"
    assert "this was look 1" in scored.err
    assert "other images" not in scored.err
    for hue in (3, 7, 11):
        draw(Path(f"support/{hue}/0.png"), hue, 0)
    draw(Path("new.png"), 7, 1)
    named = hpo("classify best.safetensors --support support --query new.png --json")
    assert named.status == 0, named.err
    (answer,) = json.loads(named.out)
    assert {one["name"] for one in answer["classes"]} == {"3", "7", "11"}
    assert refused(hpo("evaluate best.safetensors --on mnist"), "colour images")
    line = "baselines --siamese-conv best.safetensors --only siamese-conv"
    assert refused(hpo(line), "best.safetensors takes colour images, and these tasks are drawings")
    draw(Path("moved/thing 13/0.png"), 13, 0)
    draw(Path("moved/thing 13/1.png"), 13, 1)
    warned = hpo(f"evaluate best.safetensors {data}")
    assert warned.status == 0, warned.err
    assert "best.safetensors was trained on other images (folder-" in warned.err


def test_a_moved_folder_resumes_and_another_one_is_refused(hpo: Hpo, photos: Path) -> None:
    assert hpo("run tiny --trials 1").status == 0
    stored = open_tiny(Path())
    assert "path" not in json.dumps(stored.study.user_attrs["settings"])
    assert stored.data_fingerprint.startswith("folder-")
    moved = shutil.move(photos, "moved")
    resumed = hpo(f"run tiny --trials 2 --data {moved}")
    assert resumed.status == 0, resumed.err
    assert "(resumed)" in resumed.err
    draw(Path(moved) / "thing 1" / "9.png", 1, 9)
    changed = hpo(f"run tiny --trials 3 --data {moved}")
    assert refused(changed, "is about other data", "name the folder of the same data")
    assert refused(hpo("run tiny --trials 3"), "my photos does not exist")


def test_a_worker_finds_the_images_by_the_study_file(hpo: Hpo, photos: Path) -> None:
    assert hpo("run tiny --trials 1 --workers 0").status == 0
    joined = hpo("worker tiny")
    assert joined.status == 0, joined.err
    assert "1 of 1" in hpo("status tiny").out


def test_grey_is_the_ink_of_a_drawing(hpo: Hpo, photos: Path) -> None:
    grey = hpo("run tiny --trials 1 --set network.channels=1")
    assert grey.status == 0, grey.err
    assert hpo("export tiny -o best.toml").status == 0
    trained = hpo("train best.toml -o a.safetensors")
    assert refused(trained, "where the images are is not said: name their folder with --data")


def test_the_data_commands_tell_what_is_there(hpo: Hpo, photos: Path) -> None:
    (photos / "thing 1/notes.txt").write_text("none")
    shutil.move(photos, "photos")
    found = hpo("data check folder --data photos")
    assert found.status == 0, found.err
    assert "photos: 12 classes, 36 images" in found.out
    assert "images of a class: 2 to 4" in found.out
    assert "no image by its name: photos/thing 1/notes.txt" in found.out
    Image.new("RGB", (9, 9), (255, 255, 255)).save("photos/thing 1/blank.png")
    assert refused(hpo("data check folder --data photos"), "blank.png")  # as a search would
    assert "37 images" in hpo("data check folder --data photos --colour").out
    for command in ("show", "check"):
        assert refused(hpo(f"data {command} strokes --colour"), "ink alone: leave --colour out")
    Path("photos/thing 1/blank.png").unlink()
    assert hpo("data show folder --data photos --colour -o sheet.png").status == 0
    sheet = Image.open("sheet.png")
    assert sheet.size == (4 * 109, 5 * 109)
    assert np.asarray(sheet)[20, 20].tolist() == [25, 83, 201]  # of thing 1, which is the first


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("data.way=7", "validation_tasks = 30 is not a multiple of way = 7"),
        ("data.way=6", "where 6-way tasks need 6 to validate, 6 to evaluate and 2 to train"),
        ("data.shots=4", "a character has 3 images, one of which is the query"),
        ("data.path=elsewhere", "name the folder with --data"),
        ("data.validation_groups=['a']", "are two lists of different groups, or both left out"),
        ("data.set=strokes", "a path and groups are of the set folder"),
    ],
)
def test_what_cannot_be_is_one_sentence(hpo: Hpo, photos: Path, change: str, sentence: str) -> None:
    assert refused(hpo(f'run tiny --trials 1 --set "{change}"'), sentence)


def test_a_class_with_one_image_and_a_broken_one(hpo: Hpo, photos: Path) -> None:
    alone = photos / "thing 3"
    (alone / "1.png").write_bytes(b"no picture")
    assert refused(hpo("run tiny --trials 1"), "1.png is not a readable image")
    (alone / "1.png").unlink()
    assert refused(hpo("run tiny --trials 1"), "thing 3 has 1 image where 2 are needed")


def lines_of(page: Path) -> Iterator[str]:
    """The lines to type of a page, in their order."""
    for block in re.findall(r"^```\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE):
        yield from (line for line in block.splitlines() if line.startswith(("hpo ", "python ")))


@pytest.mark.soak
def test_the_page_runs_as_it_stands_but_for_its_length(hpo: Hpo) -> None:
    shutil.copytree(DOCS, "docs")
    short = " ".join(f"--set {change}" for change in SHORT)
    seen = []
    for line in lines_of(Path("docs/your-own-images.md")):
        program, *words = line.split()
        seen.append(words[0])
        if program == "python":
            drawn = subprocess.run(
                [sys.executable, *words, "--images", "3"], capture_output=True, text=True
            )
            if "install DejaVu" in drawn.stderr:
                pytest.skip("needs the fonts of DejaVu")
            assert drawn.returncode == 0, drawn.stderr
            continue
        words = [
            w
            for word in words
            for w in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
        ]
        words = ["1" if word == "12" else word for word in words]
        outcome = hpo(" ".join(words) + (f" {short}" if words[0] == "run" else ""))
        assert outcome.status == 0, (line, outcome.err)
    assert seen.count("classify") == seen.count("evaluate") == seen.count("run") == 2
    assert outcome.out.count("inks-new/queries/") == 24
