import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets.mnist import read_image_file, read_label_file

from data.errors import DataError
from data.sources.mnist import IMAGES, LABELS, draw_digit_tasks, find, load_digits
from model.scoring import error_of, right_by_pixels
from tests.data.fake_mnist import OF_EACH, idx, write_fake_mnist


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("place", [".", "MNIST/raw"])
def test_the_files_are_found_and_read(tmp_path: Path, packed: bool, place: str) -> None:
    assert find(tmp_path) is None
    written = write_fake_mnist(tmp_path / place, packed)
    digits = load_digits(tmp_path)
    assert digits.ink.shape == (10 * OF_EACH, 28, 28)
    assert digits.labels.tolist() == list(range(10)) * OF_EACH
    if not packed:
        assert torch.equal(digits.ink, read_image_file(str(written / IMAGES)))
        assert torch.equal(digits.labels, read_label_file(str(written / LABELS)))


def test_a_task_has_every_digit_and_never_the_query_itself(tmp_path: Path) -> None:
    digits = load_digits(write_fake_mnist(tmp_path))
    tasks = draw_digit_tasks(digits, 50, seed=0, shots=3)
    assert len(tasks) == 50
    assert (tasks.way, tasks.shots) == (10, 3)
    assert tasks.support.shape == (50, 30, 1, 28, 28)
    assert tasks.queries.shape == (50, 1, 1, 28, 28)
    assert "MNIST's test digits, 10-way 3-shot" in tasks.source
    rows = tasks.support[:, :, 0, :, 5].flatten(0, 1).argmax(dim=1)
    expected = torch.arange(10).repeat_interleave(3).repeat(50) * 2 + 3
    assert torch.equal(rows, expected)
    assert torch.equal(tasks.queries[:, 0, 0, :, 5].argmax(dim=1), 2 * tasks.target[:, 0] + 3)
    for support, query, target in zip(tasks.support, tasks.queries, tasks.target, strict=True):
        own = support.unflatten(0, (10, 3))[target, :, 0, 0, 0].flatten().tolist()
        assert len({*own, int(query[0, 0, 0, 0])}) == 4
    assert len(tasks.target.unique()) == 10
    assert error_of(right_by_pixels(tasks)).item() == 0


def test_one_image_of_each_digit_is_shown_unless_more_are_asked_for(tmp_path: Path) -> None:
    digits = load_digits(write_fake_mnist(tmp_path))
    tasks = draw_digit_tasks(digits, 30, seed=4)
    assert (tasks.shots, tasks.support.shape) == (1, (30, 10, 1, 28, 28))
    assert tasks.source == "30 tasks of MNIST's test digits, 10-way, seed 4"


def test_a_smaller_digit_is_the_mean_of_what_it_covers(tmp_path: Path) -> None:
    """A bar is one row of 28; of 14 rows, the triangle of antialiasing leaves 3/8 of it in one."""
    tasks = draw_digit_tasks(load_digits(write_fake_mnist(tmp_path)), 30, seed=4, side=14)
    rows = tasks.queries[:, 0, 0, :, 7]
    assert rows.amax(dim=1).unique().tolist() == [96]
    assert rows.int().sum(dim=1).unique().tolist() == [128]


def test_queries_are_the_same_for_all_shots(tmp_path: Path) -> None:
    digits = load_digits(write_fake_mnist(tmp_path))
    one, three, other = (
        draw_digit_tasks(digits, 30, seed, shots=k) for seed, k in ((1, 1), (1, 3), (2, 1))
    )
    assert torch.equal(one.queries, three.queries)
    assert torch.equal(one.support, three.support[:, ::3])
    assert not torch.equal(one.queries, other.queries)


def test_digits_are_brought_to_the_size_of_a_network(tmp_path: Path) -> None:
    digits = load_digits(write_fake_mnist(tmp_path))
    for side in (20, 35):
        tasks = draw_digit_tasks(digits, 10, seed=0, side=side)
        assert tasks.support.shape[-2:] == tasks.queries.shape[-2:] == (side, side)
        share = tasks.support.float().mean() / 255
        assert float(share) == pytest.approx(20 / 28**2, rel=0.1)


@pytest.mark.parametrize("shots", [0, OF_EACH])
def test_more_images_than_there_are(tmp_path: Path, shots: int) -> None:
    digits = load_digits(write_fake_mnist(tmp_path))
    with pytest.raises(DataError, match="take 1 to 11 shots"):
        draw_digit_tasks(digits, 10, seed=0, shots=shots)


def test_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"put {IMAGES}.gz and {LABELS}.gz there"):
        load_digits(tmp_path)
    (tmp_path / f"{LABELS}.gz").write_bytes(b"one of the two alone")
    with pytest.raises(DataError, match="test digits are not in"):
        load_digits(tmp_path)
    write_fake_mnist(tmp_path)
    images, labels = tmp_path / f"{IMAGES}.gz", tmp_path / f"{LABELS}.gz"
    whole = images.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"no gzip", gzip.compress(b"\0\0")):
        images.write_bytes(broken)
        with pytest.raises(DataError, match=rf"{IMAGES}.gz cannot be read as MNIST's"):
            load_digits(tmp_path)
    images.write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))
    with pytest.raises(DataError, match="cannot be read as MNIST's"):
        load_digits(tmp_path)
    images.write_bytes(labels.read_bytes())
    with pytest.raises(DataError, match="another kind of file"):
        load_digits(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((20, 27, 28)), np.arange(20) % 10),
        (np.zeros((20, 28, 28)), np.arange(19) % 10),
        (np.zeros((20, 28, 28)), np.arange(20)),
        (np.zeros((0, 28, 28)), np.zeros(0)),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    (tmp_path / IMAGES).write_bytes(idx(images))
    (tmp_path / LABELS).write_bytes(idx(labels))
    with pytest.raises(DataError, match="are not MNIST's test digits: restore both"):
        load_digits(tmp_path)
