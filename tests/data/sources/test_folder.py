import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save

from data.errors import DataError
from data.sources.by_name import open_set
from data.sources.folder import find, load
from data.sources.photo import read_photo
from tests.conftest import ordinary_user

SIDE = 12


def write(file: Path, number: int) -> Path:
    """A red dot, at a place that the number says, on yellow paper."""
    pixels = np.full((30, 30, 3), (255, 255, 0), np.uint8)
    row, column = 6 + 3 * (number % 6), 6 + 3 * (number // 6 % 6)
    pixels[row : row + 3, column : column + 3] = (200, 0, 0)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(file)
    return file


def write_classes(root: Path, counts: dict[str, int]) -> Path:
    """A folder with this number of images of each class."""
    number = 0
    for name, count in counts.items():
        for image in range(count):
            write(root / name / f"{image}.png", number)
            number += 1
    return root


def test_a_name_that_is_not_utf8_is_a_name(tmp_path: Path) -> None:
    """Of an old archive, say."""
    name = os.fsdecode(b"caf\xe9")
    root = write_classes(tmp_path / "photos", {name: 2, "b": 2})
    drawings = load(root, SIDE, 3, tmp_path / "cache")
    assert drawings.count_of.tolist() == [2, 2]
    again = load(root, SIDE, 3, tmp_path / "cache")
    assert again.fingerprint == drawings.fingerprint


def test_classes_may_have_any_number_of_images(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "photos", {"b c": 3, "ä": 2, "a": 4})
    drawings = load(root, SIDE, 3, tmp_path / "cache")
    assert drawings.name == "photos"
    assert drawings.alphabets == ("",)
    assert drawings.alphabet_of.tolist() == [0, 0, 0]
    assert drawings.count_of.tolist() == [4, 3, 2]
    assert drawings.first_of.tolist() == [0, 4, 7]
    assert drawings.drawers == ()
    assert drawings.images.shape == (9, 3, SIDE, SIDE)
    for place, name in ((0, "a/0"), (4, "b c/0"), (8, "ä/1")):
        expected = read_photo(root / f"{name}.png", SIDE, 3)
        assert drawings.images[place].equal(expected)


def test_groups_play_the_alphabets(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"one/x": 2, "two/x": 3, "two/y": 2})
    drawings = load(root, SIDE, 1, tmp_path / "cache")
    assert drawings.alphabets == ("one", "two")
    assert drawings.alphabet_of.tolist() == [0, 1, 1]
    assert drawings.count_of.tolist() == [2, 3, 2]
    assert drawings.images.shape == (7, 1, SIDE, SIDE)
    assert (drawings.images.flatten(1).amax(1) > 50).all()  # the dot is ink, whatever its colour
    assert (drawings.images.flatten(1).amin(1) == 0).all()


def test_folders_of_the_three_parts_are_told_from_classes(tmp_path: Path) -> None:
    parts = {"train/a": 2, "train/b": 2, "validation/g/c": 2, "evaluation/d": 3}
    found = find(write_classes(tmp_path / "parts", parts))
    assert list(found.classes) == [
        ("train/", "a"),
        ("train/", "b"),
        ("validation/g", "c"),
        ("evaluation/", "d"),
    ]
    shutil.copytree(tmp_path / "parts/train/a", tmp_path / "parts/more/e")
    shutil.rmtree(tmp_path / "parts/validation/g")
    groups = find(write_classes(tmp_path / "parts", {"validation/c": 2}))
    assert list(groups.classes) == [
        ("evaluation", "d"),
        ("more", "e"),
        ("train", "a"),
        ("train", "b"),
        ("validation", "c"),
    ]
    vehicles = find(write_classes(tmp_path / "vehicles", {"train": 2, "tram": 2}))
    assert list(vehicles.classes) == [("", "train"), ("", "tram")]


def test_the_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    root, cache = write_classes(tmp_path / "one", {"a": 2, "b": 2}), tmp_path / "cache"
    first = load(root, SIDE, 1, cache).fingerprint
    assert first.startswith("folder-")
    for side, channels in ((9, 1), (SIDE, 3)):
        other = load(root, side, channels, cache)
        assert other.fingerprint == first
        assert other.images.shape == (4, channels, side, side)
    moved = Path(shutil.copytree(root, tmp_path / "elsewhere"))
    for file in moved.rglob("*.png"):
        os.utime(file, (1, 1))
    assert load(moved, SIDE, 1, cache).fingerprint == first
    (moved / "b").rename(moved / "c")
    assert load(moved, SIDE, 1, cache).fingerprint != first
    write(root / "b/1.png", 30)
    os.utime(root / "b/1.png", (2, 2))
    assert load(root, SIDE, 1, cache).fingerprint != first


def test_images_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, cache = write_classes(tmp_path / "one", {"a": 2, "b": 2}), tmp_path / "cache"
    first = load(root, SIDE, 3, cache)
    with monkeypatch.context() as patch:
        patch.setattr("data.sources.folder.read_photo", None)
        again = load(root, SIDE, 3, cache)
    assert again.images.equal(first.images)
    assert again.fingerprint == first.fingerprint
    (packed,) = cache.iterdir()
    packed.write_bytes(packed.read_bytes()[:100])
    assert load(root, SIDE, 3, cache).images.equal(first.images)


@pytest.mark.parametrize("same", ["time", "size"])
def test_an_image_replaced_by_one_of_the_same_time_or_size_is_read_again(
    tmp_path: Path, same: str
) -> None:
    first, root = write(tmp_path / "one/a/0.bmp", 0), tmp_path / "one"
    write(root / "a/1.bmp", 1)
    before, old = load(root, SIDE, 3, tmp_path / "cache"), first.stat()
    if same == "size":
        write(first, 20)
        os.utime(first, (1, 1))
    else:
        Image.new("RGB", (40, 40), (0, 0, 255)).save(first)
        os.utime(first, ns=(old.st_atime_ns, old.st_mtime_ns))
    new = first.stat()
    assert (new.st_mtime_ns == old.st_mtime_ns) == (same == "time")
    assert (new.st_size == old.st_size) == (same == "size")
    after = load(root, SIDE, 3, tmp_path / "cache")
    assert after.images[0].equal(read_photo(first, SIDE, 3))
    assert not after.images[0].equal(before.images[0])
    assert after.fingerprint != before.fingerprint


def test_a_cache_that_cannot_be_written_is_no_matter(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "one", {"a": 2})
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    assert len(load(root, SIDE, 1, blocked).images) == 2


def test_what_is_no_image_is_passed_over(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "one", {"a": 2})
    unseen = (".hidden/x.png", "a/.x.png", "a/Thumbs.db", "desktop.ini", "__MACOSX/a/x.png")
    for name in ("notes.txt", "a/list.csv", *unseen):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("no image")
    found = find(root)
    assert [path.name for path in found.images] == ["0.png", "1.png"]
    assert [path.name for path in found.passed_over] == ["notes.txt", "list.csv"]


def test_what_is_beside_the_classes_of_groups_is_passed_over_too(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "one", {"g/a": 2, "h/b": 2})
    for name in ("notes.txt", "g/notes.md", "h/list.csv"):
        (root / name).write_text("no image")
    names = [path.relative_to(root).as_posix() for path in find(root).passed_over]
    assert sorted(names) == ["g/notes.md", "h/list.csv", "notes.txt"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "one", {"a": 2, "b": 2})
    (root / "b").chmod(0o000)
    with (
        ordinary_user(tmp_path),
        pytest.raises(DataError, match=r"/b cannot be read \(Permission denied\): see to it"),
    ):
        find(root)


def test_an_umlaut_is_the_same_however_it_is_written(tmp_path: Path) -> None:
    orders = []
    written = ("az", "ä", "bz"), ("az", "a\N{COMBINING DIAERESIS}", "bz")
    for number, names in enumerate(written):
        root = write_classes(tmp_path / str(number), dict.fromkeys(names, 2))
        found = find(root)
        orders.append([unicodedata.normalize("NFC", name) for _, name in found.classes])
        orders.append(list(found.names()))
    assert orders[0] == orders[2]
    assert orders[1] == orders[3]


def test_a_packed_file_of_another_version_is_read_anew(tmp_path: Path) -> None:
    root, cache = write_classes(tmp_path / "one", {"a": 2}), tmp_path / "cache"
    first = load(root, SIDE, 1, cache)
    (packed,) = cache.iterdir()
    with safe_open(packed, framework="numpy") as file:
        metadata, images = file.metadata(), file.get_tensor("images")
    packed.write_bytes(save({"images": images * 0}, {**metadata, "format": "hpo-folder-0"}))
    assert load(root, SIDE, 1, cache).images.equal(first.images)


def test_images_are_told_by_endings_in_capitals_too(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "one", {"a": 2})
    for name in ("a/2.JPG", "a/3.Png"):
        write(root / name, 3)
    found = find(root)
    assert [path.name for path in found.images] == ["0.png", "1.png", "2.JPG", "3.Png"]
    assert found.passed_over == ()


def test_what_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    def refused(root: Path) -> str:
        with pytest.raises(DataError) as caught:
            load(root, SIDE, 1, tmp_path / "cache")
        return caught.value.sentence

    assert "there is no folder" in refused(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    assert "holds no images: give it a subfolder" in refused(tmp_path / "empty")
    alone = write_classes(tmp_path / "alone", {"a": 2, "one only": 1, "c": 2})
    assert "one only has 1 image where 2 are needed" in refused(alone)
    none = write_classes(tmp_path / "none", {"a": 2})
    (none / "b").mkdir()
    assert "b has 0 images where 2 are needed" in refused(none)
    loose = write_classes(tmp_path / "loose", {"a": 2})
    write(loose / "x.png", 0)
    assert "x.png is in no class" in refused(loose)
    mixed = write_classes(tmp_path / "mixed", {"a": 2, "a/b": 2})
    assert "holds both images and folders" in refused(mixed)
    broken = write_classes(tmp_path / "broken", {"a": 3, "b": 2})
    for name in ("a/1.png", "b/0.png"):
        (broken / name).write_text("not a picture")
    said = refused(broken)
    assert "a/1.png is not a readable image" in said
    assert said.endswith(" (and 1 more image cannot be used)")
    (broken / "b/1.png").write_text("not a picture")
    assert refused(broken).endswith(" (and 2 more images cannot be used)")


def test_the_other_sets_have_no_colours(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "one", {"a": 2})
    assert open_set("folder", 0, root, SIDE, 3).images.shape[1:] == (3, SIDE, SIDE)
    with pytest.raises(DataError, match="drawn in ink alone: leave network.channels out"):
        open_set("strokes", 0, root, SIDE, 3)
