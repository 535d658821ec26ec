import contextlib
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from torch import Tensor

from data.drawings import Drawings, resized
from data.errors import DataError
from data.sources.photo import MOST_PIXELS, read_photo
from tests.data.ink import ink_of

SIDE = 20


@pytest.fixture
def ink(strokes: Drawings) -> Tensor:
    """(105, 105) uint8, a drawing without symmetry."""
    return ink_of(strokes)[3, 0]


@pytest.fixture
def page(ink: Tensor) -> Image.Image:
    """The same drawing in black on white."""
    return Image.fromarray(255 - ink.numpy())


def as_trained(ink: Tensor, side: int = SIDE) -> Tensor:
    return resized(ink[None, None], side)[0]


def distance(first: Tensor, second: Tensor) -> float:
    """Mean difference of two images, of full ink."""
    return float((first.float() - second.float()).abs().mean() / 255)


def read(image: Image.Image, folder: Path, suffix: str = "png", **options: Any) -> Tensor:
    path = folder / f"picture.{suffix}"
    image.save(path, **options)
    return read_photo(path, SIDE)


@pytest.mark.parametrize("side", [20, 35, 52, 105])
def test_an_original_comes_out_as_the_pipeline_has_it(
    strokes: Drawings, tmp_path: Path, side: int
) -> None:
    for character, drawer in ((0, 0), (17, 4), (101, 19)):
        ink = ink_of(strokes)[character, drawer]
        Image.fromarray(255 - ink.numpy()).convert("1").save(tmp_path / "d.png")
        photo = read_photo(tmp_path / "d.png", side)
        assert photo.dtype == torch.uint8
        assert torch.equal(photo, as_trained(ink, side))


@pytest.mark.soak
def test_omniglots_own_drawings_do_too(real_omniglot: Drawings, tmp_path: Path) -> None:
    for character in range(0, 1600, 100):
        ink = ink_of(real_omniglot)[character, 7]
        Image.fromarray(255 - ink.numpy()).convert("1").save(tmp_path / "d.png")
        assert torch.equal(read_photo(tmp_path / "d.png", 35), as_trained(ink, 35))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_all_modes_give_the_same(page: Image.Image, ink: Tensor, tmp_path: Path, mode: str) -> None:
    suffix = "tiff" if mode == "CMYK" else "png"
    assert distance(read(page.convert(mode), tmp_path, suffix), as_trained(ink)) < 0.005


def test_light_ink_on_dark_paper(page: Image.Image, ink: Tensor, tmp_path: Path) -> None:
    assert torch.equal(read(ImageOps.invert(page), tmp_path), as_trained(ink))


def test_sixteen_bits(ink: Tensor, tmp_path: Path) -> None:
    deep = ((255 - ink.numpy()).astype(np.uint16) * 16).clip(max=4095)  # as 12-bit scanners write
    assert torch.equal(read(Image.fromarray(deep), tmp_path), as_trained(ink))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_pixel_that_is_no_number_is_named(tmp_path: Path, channels: int) -> None:
    pixels = np.full((20, 20), 0.5, np.float32)
    pixels[3, 3] = np.nan
    Image.fromarray(pixels).save(tmp_path / "p.tiff")
    with pytest.raises(DataError, match=r"not a readable image \(a pixel is no number\)"):
        read_photo(tmp_path / "p.tiff", SIDE, channels)


def test_numbers_below_black_are_black(ink: Tensor, tmp_path: Path) -> None:
    grey = (255 - ink.numpy().astype(np.float32)) / 255
    grey[grey == 0] = -3
    Image.fromarray(grey).save(tmp_path / "p.tiff")
    assert torch.equal(read_photo(tmp_path / "p.tiff", SIDE), as_trained(ink))


def test_what_is_transparent_is_white(ink: Tensor, tmp_path: Path) -> None:
    pen = np.zeros((105, 105, 4), np.uint8)  # black everywhere, opaque only where there is ink
    pen[..., 3] = ink.numpy()
    assert torch.equal(read(Image.fromarray(pen), tmp_path), as_trained(ink))
    palette = Image.fromarray((ink.numpy() > 0).astype(np.uint8), mode="P")
    palette.putpalette([0, 0, 0, 20, 20, 20])
    assert torch.equal(read(palette, tmp_path, transparency=0), as_trained(ink))


def test_the_cameras_turn_is_undone(page: Image.Image, ink: Tensor, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    sideways = page.transpose(Image.Transpose.ROTATE_90)
    assert torch.equal(read(sideways, tmp_path, exif=exif), as_trained(ink))
    turned = read(sideways, tmp_path)
    assert distance(turned, as_trained(ink)) > 0.05


def test_a_faint_noisy_photograph(page: Image.Image, ink: Tensor, tmp_path: Path) -> None:
    photo = page.resize((1680, 1680)).filter(ImageFilter.GaussianBlur(4))
    chance = np.random.default_rng(0)
    grey = 90 + np.asarray(photo, np.float32) * 0.35 + chance.normal(0, 4, (1680, 1680))
    seen = read(Image.fromarray(grey.clip(0, 255).astype(np.uint8)), tmp_path, "jpg")
    assert distance(seen, as_trained(ink)) < 0.02
    paper = as_trained(ink) == 0
    assert seen[paper].float().mean() < 3


def test_a_dark_speck_makes_the_ink_no_fainter(ink: Tensor, tmp_path: Path) -> None:
    grey = 255 - ink.numpy() * (140 / 255)
    grey[tuple(np.argwhere(ink.numpy() > 0)[0])] = 0
    seen = read(Image.fromarray(grey.astype(np.uint8)), tmp_path)
    assert distance(seen, as_trained(ink)) < 0.01


def test_a_wide_picture_is_padded_with_paper(
    page: Image.Image, ink: Tensor, tmp_path: Path
) -> None:
    wide = Image.new("L", (315, 105), 200)
    wide.paste(page.point(lambda v: 40 + v * 160 // 255), (105, 0))
    seen = read(wide, tmp_path)
    expected = torch.zeros(315, 315, dtype=torch.uint8)
    expected[105:210, 105:210] = ink
    assert distance(seen, as_trained(expected)) < 0.005


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tall_picture_is_read_as_the_wide_one_that_it_is_when_turned(channels: int) -> None:
    wide = Image.new("RGB", (40, 20), (10, 200, 30))
    ImageDraw.Draw(wide).rectangle((6, 3, 29, 8), fill=(250, 0, 100))
    tall = wide.transpose(Image.Transpose.TRANSPOSE)
    assert tall.size == (20, 40)
    expected = read_photo(wide, SIDE, channels).mT
    assert torch.equal(read_photo(tall, SIDE, channels), expected)
    assert not torch.equal(expected, expected.mT)


def test_ink_may_fill_more_than_half_of_a_wide_picture(tmp_path: Path) -> None:
    wide = Image.new("L", (1000, 40), 255)
    ImageDraw.Draw(wide).rectangle((20, 6, 979, 33), fill=0)  # 67 % of it
    seen = read(wide, tmp_path)
    assert seen[0, SIDE // 2, SIDE // 2] > 50  # it is little more than a pixel high
    assert seen[0, 0, 0] == 0


def test_an_endless_strip_is_no_endless_square(tmp_path: Path) -> None:
    strip = Image.new("1", (200_000, 2), 1)
    ImageDraw.Draw(strip).rectangle((90_000, 0, 110_000, 1), fill=0)
    assert read(strip, tmp_path).shape == (1, SIDE, SIDE)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (105, 105), (2000, 300)])
@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_blank_picture_is_refused(tmp_path: Path, size: tuple[int, int], grey: int) -> None:
    with pytest.raises(DataError, match="picture.png is blank: give a picture"):
        read(Image.new("L", size, grey), tmp_path)


def test_the_grain_of_blank_paper_is_no_ink(tmp_path: Path) -> None:
    grain = np.random.default_rng(1).normal(200, 2, (300, 300)).clip(0, 255).astype(np.uint8)
    with pytest.raises(DataError, match="is blank"):
        read(Image.fromarray(grain), tmp_path)


def claim(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be so large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 9))


@pytest.mark.parametrize(("width", "height"), [(8001, 8000), (100_000, 100_000)])
def test_a_decompression_bomb_is_refused(tmp_path: Path, width: int, height: int) -> None:
    assert width * height > MOST_PIXELS
    path = tmp_path / "bomb.png"
    path.write_bytes(claim(width, height))
    with pytest.raises(DataError, match=r"bomb.png .*(pixels|exceeds limit)"):
        read_photo(path, SIDE)


def test_an_open_picture_is_read_as_its_file_and_stays_as_it_is(
    page: Image.Image, tmp_path: Path
) -> None:
    before = page.tobytes()
    assert torch.equal(read_photo(page, SIDE), read(page, tmp_path))
    assert page.tobytes() == before
    blank = Image.new("L", page.size, 255)
    with pytest.raises(DataError, match="^image 7 is blank: give"):
        read_photo(blank, SIDE, name="image 7")


def test_what_is_no_picture_is_one_sentence(page: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    with pytest.raises(DataError, match="there is no image .*p.png: check the path"):
        read_photo(path, SIDE)
    with pytest.raises(DataError, match="is a folder: name the images in it"):
        read_photo(tmp_path, SIDE)
    path.write_text("a letter")
    with pytest.raises(DataError, match="is not a readable image: give one of BMP"):
        read_photo(path, SIDE)
    page.save(path)
    whole = path.read_bytes()
    for kept in range(1, len(whole) // 2, 7):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=r"^[^\n]*is not a readable image[^\n]*$"):
            read_photo(path, SIDE)
    page.save(tmp_path / "p.eps")  # which Pillow would give to Ghostscript
    with pytest.raises(DataError, match="is not a readable image"):
        read_photo(tmp_path / "p.eps", SIDE)


def test_changed_bytes_never_do_worse_than_a_sentence(page: Image.Image, tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    for suffix in ("png", "gif", "tiff", "bmp", "jpg", "webp"):
        path = tmp_path / f"p.{suffix}"
        page.save(path)
        whole = bytearray(path.read_bytes())
        for _ in range(40):
            changed = bytearray(whole)
            for place in chance.integers(len(whole), size=4):
                changed[place] = chance.integers(256)
            path.write_bytes(changed)
            with contextlib.suppress(DataError):
                assert read_photo(path, SIDE).shape == (1, SIDE, SIDE)


def test_colours_stay_and_a_picture_is_padded_with_its_border(tmp_path: Path) -> None:
    wide = Image.new("RGB", (40, 20), (10, 200, 30))
    ImageDraw.Draw(wide).rectangle((10, 5, 29, 14), fill=(250, 0, 100))
    wide.save(tmp_path / "wide.png")
    photo = read_photo(tmp_path / "wide.png", 4, channels=3)
    assert photo.shape == (3, 4, 4)
    assert photo[:, 0, 0].tolist() == photo[:, 3, 2].tolist() == [10, 200, 30]
    assert photo[:, 1, 1].tolist() == [130, 100, 65]  # half of the paper, half of the ink
    clear = Image.new("RGBA", (20, 20), (0, 0, 255, 0))
    clear.save(tmp_path / "clear.png")
    assert (read_photo(tmp_path / "clear.png", 4, channels=3) == 255).all()
    grey = Image.new("L", (20, 20), 77)
    grey.save(tmp_path / "grey.png")
    assert (read_photo(tmp_path / "grey.png", 4, channels=3) == 77).all()
    deep = np.full((20, 20), 1000, np.uint16)
    deep[:, 10:] = 4000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert read_photo(tmp_path / "deep.png", 2, channels=3)[:, 0].tolist() == [[64, 255]] * 3
