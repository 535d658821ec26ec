import io
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from data.drawings import Drawings
from data.sources.by_name import open_set
from data.sources.strokes import ALPHABETS, CHARACTERS, DRAWERS, draw_strokes, load_strokes
from data.split import split
from data.tasks import draw_tasks
from model.scoring import error_of, right_by_pixels
from tests.data.ink import ink_of


def test_the_shape_is_omniglots(strokes: Drawings) -> None:
    assert ink_of(strokes).shape == (sum(ALPHABETS.values()) * CHARACTERS, DRAWERS, 105, 105)
    assert ((strokes.images == 0) | (strokes.images == 255)).all()
    ink = (ink_of(strokes) > 0).flatten(2).count_nonzero(dim=2) / 105**2
    assert ink.min() > 0.001
    assert 0.01 < ink.mean() < 0.2


def test_a_seed_draws_the_same_and_another_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.sources.strokes.ALPHABETS", dict.fromkeys(ALPHABETS, 2))
    first, again, other = draw_strokes(0), draw_strokes(0), draw_strokes(1)
    assert torch.equal(first.images, again.images)
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert not torch.equal(first.images, other.images)


def test_no_two_drawings_of_a_character_are_alike(strokes: Drawings) -> None:
    first = ink_of(strokes)[0].flatten(1).float()
    distance = torch.cdist(first, first)
    distance.fill_diagonal_(float("inf"))
    assert distance.min() > 255


def test_pixels_alone_are_above_chance_and_far_from_right(strokes: Drawings) -> None:
    tasks = draw_tasks(split(strokes).validation, 400, seed=0)
    assert 0.10 < 1 - error_of(right_by_pixels(tasks)).item() < 0.40


def test_they_are_drawn_once_and_kept(
    strokes: Drawings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Mock(return_value=strokes)
    monkeypatch.setattr("data.sources.strokes.draw_strokes", draw)
    for _ in range(3):
        drawn = load_strokes(7, tmp_path / "cache")
        assert torch.equal(drawn.images, strokes.images)
        assert drawn.alphabets == strokes.alphabets
    draw.assert_called_once_with(7)
    (kept,) = (tmp_path / "cache").iterdir()
    whole, fewer = kept.read_bytes(), io.BytesIO()
    np.savez(fewer, bits=np.zeros((3, 1379), np.uint8))
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255
    for times, content in enumerate((whole[:1000], b"", bytes(damaged), fewer.getvalue()), start=2):
        kept.write_bytes(content)
        assert torch.equal(load_strokes(7, tmp_path / "cache").images, strokes.images)
        assert draw.call_count == times
        assert kept.read_bytes() == whole


def test_the_drawings_of_one_seed_are_not_taken_for_those_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.sources.strokes.ALPHABETS", {"train": 1})
    monkeypatch.setattr("data.sources.strokes.CHARACTERS", 2)
    monkeypatch.setenv("HPO_CACHE", str(tmp_path))
    drawn = {seed: draw_strokes(seed).images for seed in (3, 4)}
    assert not torch.equal(drawn[3], drawn[4])
    for _ in range(2):  # drawn, then kept
        for seed, expected in drawn.items():
            found = open_set("strokes", seed, tmp_path / "none")
            assert torch.equal(found.images, expected)
            assert found.fingerprint.endswith(f"-{seed}")
