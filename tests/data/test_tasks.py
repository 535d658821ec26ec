import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from data.drawings import Drawings, resized
from data.errors import DataError
from data.split import Split
from data.tasks import draw_tasks, find_official_runs, load_official_runs
from tests.data.ink import drawings_of, ink_of
from tests.data.official_runs import write_runs


def test_tasks_are_within_one_alphabet_by_two_drawers(strokes: Drawings) -> None:
    # ink that tells alphabet, character and drawer of every image
    ink = torch.zeros(len(strokes.alphabet_of), 20, 2, 2, dtype=torch.uint8)
    ink[:, :, 0, 0] = strokes.alphabet_of.byte().unsqueeze(1)
    ink[:, :, 0, 1] = (torch.arange(len(ink)) % 22).byte().unsqueeze(1)
    ink[:, :, 1, 0] = torch.arange(20).byte()
    told = drawings_of(ink, strokes.alphabets, strokes.alphabet_of, strokes.drawers)
    tasks = draw_tasks(told, 320, seed=0)
    assert len(tasks) == 320
    assert tasks.drawn_from == told.fingerprint
    assert tasks.support.shape == tasks.queries.shape == (16, 20, 1, 2, 2)
    shown = tasks.support.squeeze(2), tasks.queries.squeeze(2)
    for support, queries, target in zip(*shown, tasks.target, strict=True):
        for part in (support, queries):
            assert len(part[:, 0, 0].unique()) == 1
            assert len(part[:, 0, 1].unique()) == 20
            assert len(part[:, 1, 0].unique()) == 1
        assert support[0, 0, 0] == queries[0, 0, 0]
        assert support[0, 1, 0] != queries[0, 1, 0]
        assert torch.equal(support[target, 0, 1], queries[:, 0, 1])


def told_apart(drawings: Drawings) -> Drawings:
    """The same characters and drawers, with images of two by two numbers that tell them."""
    ink = torch.zeros(len(drawings.alphabet_of), len(drawings.drawers), 2, 2, dtype=torch.uint8)
    ink[:, :, 0, 0] = drawings.alphabet_of.byte().unsqueeze(1)
    ink[:, :, 0, 1] = (torch.arange(len(ink)) % 251).byte().unsqueeze(1)
    ink[:, :, 1, 0] = torch.tensor(drawings.drawers).byte()
    return replace(drawings, images=ink.flatten(0, 1).unsqueeze(1))


def test_one_shot_is_drawn_as_it_always_was(strokes: Drawings) -> None:
    told = told_apart(strokes.select(strokes.alphabets, (1, 2, 3, 4)))
    everyone = told_apart(strokes)
    count = 20 * len(told.alphabets)  # each has its turn once, and no second round is drawn
    tasks = draw_tasks(told, count, seed=6)
    asked = draw_tasks(everyone, count, seed=6, askers=4)
    generator = torch.Generator().manual_seed(6)
    turns = torch.randperm(len(told.alphabets), generator=generator).tolist()
    for draw, alphabet in enumerate(turns):
        members = (told.alphabet_of == alphabet).nonzero().flatten()
        chosen = members[torch.randperm(len(members), generator=generator)[:20]]
        one, other = torch.randperm(4, generator=generator)[:2].tolist()
        order = torch.randperm(20, generator=generator)
        for drawn in (tasks, asked):
            assert torch.equal(drawn.support[draw, :, 0], ink_of(told)[chosen, one])
            assert torch.equal(drawn.queries[draw, :, 0], ink_of(told)[chosen[order], other])
            assert torch.equal(drawn.target[draw], order)
    assert (tasks.way, tasks.shots) == (20, 1)
    assert tasks.source == f"{count} random draws, 20-way within one alphabet, seed 6"


def test_several_shots_are_by_as_many_drawers(strokes: Drawings) -> None:
    told = told_apart(strokes)
    one = draw_tasks(told, 200, seed=2, askers=4)
    five = draw_tasks(told, 200, seed=2, shots=5, askers=4)
    assert (five.way, five.shots) == (20, 5)
    assert five.support.shape == (10, 100, 1, 2, 2)
    assert "20-way 5-shot" in five.source
    by_class = five.support.unflatten(1, (20, 5))
    assert torch.equal(by_class[:, :, 0], one.support)
    assert torch.equal(five.queries, one.queries)
    assert torch.equal(five.target, one.target)
    for support, queries in zip(by_class.squeeze(3), five.queries.squeeze(2), strict=True):
        assert len(support[..., 0, 0].unique()) == 1
        assert len(support[:, 0, 0, 1].unique()) == 20
        assert (support[..., 0, 1] == support[:, :1, 0, 1]).all()
        drawers = support[:, :, 1, 0].unique(dim=0)
        assert len(drawers) == 1
        shown, asking = drawers[0].tolist(), int(queries[0, 1, 0])
        assert len({asking, *shown}) == 6
        assert asking <= 4
        assert set(shown[:3]) | {asking} == {1, 2, 3, 4}


@pytest.mark.parametrize("shots", [0, 4, 20])
def test_one_drawer_is_left_for_the_query(small_split: Split, shots: int) -> None:
    with pytest.raises(DataError, match="a character has 4 images, .* take 1 to 3 shots"):
        draw_tasks(small_split.validation, 20, seed=0, shots=shots)


def test_tasks_of_images_by_unknown_hands() -> None:
    """Classes of 2, 3, 4, 2 and 1 images; image i is full of i."""
    counts = torch.tensor([2, 3, 4, 2, 1])
    class_of = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4])
    images = torch.arange(12, dtype=torch.uint8).view(12, 1, 1, 1)
    groups = torch.zeros(5, dtype=torch.int64)
    mine = Drawings("mine", "m", ("",), groups, (), counts, images)
    tasks = draw_tasks(mine, 300, seed=0, way=3)
    assert tasks.source == "300 random draws, 3-way, seed 0"
    seen: set[tuple[int, int]] = set()
    for support, queries, target in zip(tasks.support, tasks.queries, tasks.target, strict=True):
        shown, asked = support.flatten().tolist(), queries.flatten().tolist()
        classes = class_of[shown]
        assert len(classes.unique()) == 3
        assert torch.equal(class_of[asked], classes[target])
        assert not set(shown) & set(asked)
        seen |= {(s, q) for s in shown for q in asked if class_of[s] == class_of[q]}
    assert len(seen) == 2 + 6 + 12 + 2  # class 4 has one image, and is in no task
    again = draw_tasks(mine, 300, seed=0, way=3)
    assert torch.equal(again.support, tasks.support)
    assert torch.equal(again.queries, tasks.queries)
    two = draw_tasks(mine, 20, seed=0, way=2, shots=2)
    assert set(class_of[two.support.flatten().tolist()].tolist()) == {1, 2}
    with pytest.raises(DataError, match="no alphabet of mine has 3 characters of 3 images"):
        draw_tasks(mine, 30, seed=0, way=3, shots=2)
    with pytest.raises(DataError, match="a character has 4 images, .* take 1 to 3 shots"):
        draw_tasks(mine, 30, seed=0, way=3, shots=4)


def test_groups_of_which_the_last_has_too_few_images() -> None:
    groups, counts = torch.tensor([0, 0, 1, 1]), torch.tensor([2, 2, 1, 1])
    images = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1)
    tasks = draw_tasks(Drawings("mine", "m", ("a", "b"), groups, (), counts, images), 8, 0, way=2)
    assert tasks.source == "8 random draws, 2-way within one group, seed 0"
    assert int(tasks.support.max()) < 4


def test_tasks_at_another_size_ask_the_same(small_split: Split) -> None:
    tasks = draw_tasks(small_split.validation, 40, seed=3)
    small = tasks.resized(7)
    assert small.support.shape == small.queries.shape == (2, 20, 1, 7, 7)
    assert torch.equal(small.support[1], resized(tasks.support[1], 7))
    assert torch.equal(small.queries[1], resized(tasks.queries[1], 7))
    assert torch.equal(small.target, tasks.target)
    assert (small.source, small.drawn_from) == (tasks.source, tasks.drawn_from)


def test_alphabets_take_turns(small_split: Split) -> None:
    part = small_split.validation
    marked = ink_of(part).clone()
    marked[:] = part.alphabet_of.byte().view(-1, 1, 1, 1)
    told = drawings_of(marked, part.alphabets, part.alphabet_of, part.drawers)
    tasks = draw_tasks(told, 200, seed=1)
    drawn = torch.bincount(tasks.support[:, 0, 0, 0, 0].long())
    assert drawn.tolist() == [2] * 5


def test_tasks_are_fixed_by_their_seed(small_split: Split) -> None:
    one, again, other = (draw_tasks(small_split.validation, 40, seed) for seed in (4, 4, 5))
    assert torch.equal(one.support, again.support)
    assert torch.equal(one.target, again.target)
    assert not torch.equal(one.support, other.support)


def test_a_small_alphabet_gives_no_task(small_split: Split) -> None:
    part = small_split.validation
    few = part.select(part.alphabets[:1], part.drawers)
    cut = few.characters(torch.arange(19))
    with pytest.raises(DataError, match="20-way task: the largest has 19"):
        draw_tasks(cut, 20, seed=0)
    assert len(draw_tasks(cut, 19, seed=0, way=19)) == 19


@pytest.mark.parametrize("count", [0, 30])
def test_the_number_of_tasks_is_a_multiple_of_the_way(small_split: Split, count: int) -> None:
    with pytest.raises(DataError, match="multiple of 20"):
        draw_tasks(small_split.validation, count, seed=0)


@pytest.mark.parametrize("packed", [False, True])
def test_official_runs_of_a_folder_or_zip(strokes: Drawings, tmp_path: Path, packed: bool) -> None:
    folder = write_runs(tmp_path / "all_runs", strokes, runs=3)
    path = folder
    if packed:
        path = tmp_path / "all_runs.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*.*")):
                archive.write(file, f"all_runs/{file.relative_to(folder).as_posix()}")
    assert find_official_runs(tmp_path) == (tmp_path / "all_runs.zip" if packed else folder)
    tasks = load_official_runs(path)
    assert len(tasks) == 60
    assert "official" in tasks.source
    for run in range(3):
        members = (strokes.alphabet_of == run).nonzero().flatten()[:20]
        assert torch.equal(tasks.support[run, :, 0], ink_of(strokes)[members, 0])
        assert torch.equal(tasks.queries[run, :, 0], ink_of(strokes)[members.roll(-7), 1])
        assert tasks.target[run].tolist() == [*range(7, 20), *range(7)]


def test_broken_runs_are_named(strokes: Drawings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no runNN/class_labels"):
        load_official_runs(tmp_path)
    folder = write_runs(tmp_path / "runs", strokes, runs=1)
    (folder / "run01/training/class07.png").unlink()
    with pytest.raises(DataError, match="class07.png is named in .* but missing"):
        load_official_runs(folder)
    (folder / "run01/class_labels.txt").write_text("one two three\n")
    with pytest.raises(DataError, match="is not lines of"):
        load_official_runs(folder)
    (folder / "run01/class_labels.txt").write_bytes(b"one\xff\n")
    with pytest.raises(DataError, match="is not lines of"):
        load_official_runs(folder)
    advice = (
        r"cannot be read as one-shot runs \(.*\): give the folder or zip that holds run01, run02"
    )
    with pytest.raises(DataError, match=advice):
        load_official_runs(tmp_path / "nowhere")
    assert find_official_runs(tmp_path / "nowhere") is None
    (tmp_path / "bad.zip").write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="cut short, damaged or no zip"):
        load_official_runs(tmp_path / "bad.zip")


@pytest.mark.parametrize("lines", [slice(1, 20), slice(0, 21)])
def test_runs_of_unequal_size_are_refused(strokes: Drawings, tmp_path: Path, lines: slice) -> None:
    """A class fewer, or one more image to be asked about."""
    folder = write_runs(tmp_path / "runs", strokes, runs=2)
    labels = folder / "run02/class_labels.txt"
    twice = labels.read_text().splitlines(keepends=True) * 2
    labels.write_text("".join(twice[lines]))
    with pytest.raises(DataError, match="differ in size: every run needs the same support set"):
        load_official_runs(folder)


def test_what_a_mac_puts_into_a_zip_is_no_run(strokes: Drawings, tmp_path: Path) -> None:
    folder = write_runs(tmp_path / "runs", strokes, runs=1)
    path = tmp_path / "runs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.*")):
            archive.write(file, file.relative_to(folder).as_posix())
        archive.writestr("__MACOSX/run01/class_labels.txt", "no run")
    assert len(load_official_runs(path)) == 20
