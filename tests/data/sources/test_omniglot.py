import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from data.errors import DataError
from data.sources import archive, omniglot
from tests.conftest import ordinary_user
from tests.data.fake_omniglot import PARTS, image_names, png, rewrite, write_fake
from tests.data.ink import ink_of

LOAD = """
import sys
from pathlib import Path
from data.sources import omniglot
from tests.data.fake_omniglot import PARTS
omniglot.PARTS = PARTS
print(omniglot.load(Path(sys.argv[1])).fingerprint)
"""
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fake(tmp_path_factory.mktemp("fake"))


@pytest.fixture
def fake(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fake zips, and an empty folder for the packed file."""
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(omniglot, "PARTS", PARTS)
    copy = Path(shutil.copytree(pristine, tmp_path / "omniglot"))
    copy.chmod(0o755)
    return copy


def packed_files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").glob("*")) if (tmp_path / "cache").exists() else []


def test_both_parts_are_read_in_order(fake: Path) -> None:
    drawings = omniglot.load(fake)
    assert ink_of(drawings).shape == (100, 20, 105, 105)
    assert len(drawings.alphabets) == 50
    assert drawings.drawers == tuple(range(1, 21))
    bars = (ink_of(drawings) > 0).sum(dim=(2, 3))
    assert torch.equal(bars, torch.arange(1, 21).expand(100, 20))


@pytest.mark.parametrize("layout", ["extracted", "torchvision", "mixed"])
def test_other_layouts_give_the_same(fake: Path, tmp_path: Path, layout: str) -> None:
    expected = omniglot.load(fake)
    other = tmp_path / "other"
    if layout == "torchvision":
        shutil.copytree(fake, other / "omniglot-py")
    else:
        write_fake(other, extracted=True)
    if layout == "mixed":
        shutil.rmtree(other / "images_evaluation")
        shutil.copy(fake / "images_evaluation.zip", other)
    found = omniglot.load(other)
    assert found.fingerprint == expected.fingerprint
    assert torch.equal(found.images, expected.images)


def test_the_second_load_reads_the_packed_file_alone(
    fake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = omniglot.load(fake)
    assert len(packed_files(tmp_path)) == 1
    monkeypatch.setattr(omniglot, "open_files", None)  # would raise if touched
    again = omniglot.load(fake)
    assert torch.equal(first.images, again.images)
    assert first.fingerprint == again.fingerprint


@pytest.mark.parametrize("damage", ["truncated", "flipped", "foreign", "empty"])
def test_a_broken_packed_file_is_made_anew(fake: Path, tmp_path: Path, damage: str) -> None:
    expected = omniglot.load(fake)
    (packed,) = packed_files(tmp_path)
    content = bytearray(packed.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage == "foreign":
        content = bytearray(b"not a safetensors file at all")
    else:
        content = bytearray()
    packed.write_bytes(content)
    assert omniglot.load(fake).fingerprint == expected.fingerprint
    assert packed_files(tmp_path) == [packed]


@pytest.mark.parametrize(("bars", "same"), [((77, 2), "time"), ((2, 1), "size")])
def test_a_source_replaced_by_one_of_the_same_time_or_size_is_read_again(
    fake: Path, bars: tuple[int, int], same: str
) -> None:
    before, zipped = omniglot.load(fake), fake / "images_background.zip"
    old, names = zipped.stat(), image_names("images_background")
    rewrite(zipped, {name: png(bar=bar) for name, bar in zip(names, bars, strict=False)})
    if same == "time":
        os.utime(zipped, ns=(old.st_atime_ns, old.st_mtime_ns))
    new = zipped.stat()
    assert (new.st_mtime_ns == old.st_mtime_ns) == (same == "time")
    assert (new.st_size == old.st_size) == (same == "size")
    after = omniglot.load(fake)
    assert after.fingerprint != before.fingerprint
    assert (ink_of(after)[0, :2] > 0).sum(dim=(1, 2)).tolist() == list(bars)


def test_the_stamp_tells_when_an_extracted_drawing_is_replaced(tmp_path: Path) -> None:
    parts = tmp_path / "images_background", tmp_path / "images_evaluation"
    for part in parts:
        (part / "Greek/character01").mkdir(parents=True)
        (part / "Greek/character01/0001_01.png").write_bytes(png(bar=5))
    source, drawing = omniglot.Source(parts), parts[1] / "Greek/character01/0001_01.png"
    before, old = source.stamp(), drawing.stat()
    drawing.write_bytes(png(bar=5))
    os.utime(drawing, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert source.stamp() == before
    os.utime(drawing, ns=(old.st_atime_ns, old.st_mtime_ns + 1))
    assert source.stamp() != before
    drawing.write_bytes(png(bar=77))
    os.utime(drawing, ns=(old.st_atime_ns, old.st_mtime_ns))
    assert drawing.stat().st_size != old.st_size
    assert source.stamp() != before


@pytest.mark.soak
def test_two_processes_at_once_do_no_harm(fake: Path, tmp_path: Path) -> None:
    racing = [
        subprocess.Popen(
            [sys.executable, "-c", LOAD, str(fake)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=300)[0] for process in racing]
    assert [process.returncode for process in racing] == [0, 0]
    assert len(set(printed)) == 1
    assert len(packed_files(tmp_path)) == 1


@pytest.mark.soak
def test_a_full_disk_leaves_nothing_half_written(fake: Path, tmp_path: Path) -> None:
    def small_files_only() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    ended = subprocess.run(
        [sys.executable, "-c", LOAD, str(fake)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=small_files_only,
        timeout=300,
    )
    assert "DataError: the packed data cannot be written to" in ended.stderr
    assert packed_files(tmp_path) == []


def test_a_cache_that_is_read_only(fake: Path, tmp_path: Path) -> None:
    omniglot.load(fake)
    (packed,) = packed_files(tmp_path)
    packed.unlink()
    packed.parent.chmod(0o500)
    with (
        ordinary_user(fake),
        pytest.raises(DataError, match=r"cannot be written to .*/cache .* HPO_CACHE"),
    ):
        omniglot.load(fake)
    assert packed_files(tmp_path) == []


def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    with (
        ordinary_user(tmp_path),
        pytest.raises(DataError, match=r"locked cannot be read \(Permission denied\)"),
    ):
        omniglot.load(locked)


def test_a_disk_that_fails_while_it_is_read_is_one_sentence(
    fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Mock(side_effect=OSError(errno.EIO, "Input/output error", "images_background.zip"))
    monkeypatch.setattr(omniglot, "_read", broken)
    with pytest.raises(DataError, match=r"^images_background.zip cannot be read: Input/output"):
        omniglot.load(fake)


def test_nothing_there_says_where_to_put_what(tmp_path: Path) -> None:
    assert omniglot.find(tmp_path) is None
    with pytest.raises(DataError, match=r"put images_background\.zip and images_evaluation\.zip"):
        omniglot.load(tmp_path)


def test_one_part_alone_is_named(fake: Path) -> None:
    (fake / "images_evaluation.zip").unlink()
    with pytest.raises(DataError, match=r"not images_evaluation\.zip: put it there"):
        omniglot.load(fake)


def test_a_truncated_zip_is_named(fake: Path, tmp_path: Path) -> None:
    zipped = fake / "images_background.zip"
    zipped.write_bytes(zipped.read_bytes()[:100_000])
    with pytest.raises(DataError, match=r"images_background\.zip is cut short, damaged"):
        omniglot.load(fake)
    assert packed_files(tmp_path) == []


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_claims_to_be_huge_is_not_unpacked(
    fake: Path, monkeypatch: pytest.MonkeyPatch, packing: int
) -> None:
    monkeypatch.setattr(archive, "LARGEST", 2**19)
    huge: dict[str, bytes | None] = {image_names("images_evaluation")[2]: bytes(2**20)}
    rewrite(fake / "images_evaluation.zip", huge, packing)
    with pytest.raises(DataError, match=r"images_evaluation\.zip is .*would take 1 MiB"):
        omniglot.load(fake)


def test_damage_inside_a_zip_is_named(fake: Path) -> None:
    zipped = fake / "images_background.zip"
    content = bytearray(zipped.read_bytes())
    at = content.index(b"IDAT")
    content[at + 8] ^= 0xFF
    zipped.write_bytes(content)
    with pytest.raises(DataError, match=r"images_background\.zip is cut short, damaged .*_01\.png"):
        omniglot.load(fake)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(side=28), r"is 28×28 pixels where Omniglot has 105×105"),
        (b"no image", r"is not a readable image"),
        (None, r"is not 20 drawings \(drawer 03 is missing\)"),
    ],
)
def test_a_bad_image_is_named(fake: Path, content: bytes | None, message: str) -> None:
    name = image_names("images_evaluation")[2]
    rewrite(fake / "images_evaluation.zip", {name: content})
    with pytest.raises(DataError, match=message) as raised:
        omniglot.load(fake)
    assert "images_evaluation.zip" in str(raised.value)
    assert "hpo data download" in str(raised.value)


def test_a_missing_character_is_counted(fake: Path) -> None:
    gone: dict[str, bytes | None] = dict.fromkeys(image_names("images_background")[:20])
    rewrite(fake / "images_background.zip", gone)
    with pytest.raises(DataError, match="30 alphabets and 59 characters where .* 30 and 60"):
        omniglot.load(fake)


@pytest.mark.soak
def test_the_official_images_are_known_and_read_only_once(
    omniglot_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_CACHE", str(tmp_path))
    first = omniglot.load(omniglot_folder)
    assert ink_of(first).shape == (1623, 20, 105, 105)
    assert first.fingerprint == omniglot.OFFICIAL_FINGERPRINT

    monkeypatch.setattr(
        omniglot, "read_drawing", Mock(side_effect=AssertionError("an image is read again"))
    )
    assert torch.equal(omniglot.load(omniglot_folder).images, first.images)
