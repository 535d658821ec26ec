from data.drawings import Drawings
from data.split import EVALUATION_ALPHABETS, VALIDATION_ALPHABETS, Split, split


def disjoint(cut: Split) -> bool:
    parts = (cut.train, cut.validation, cut.evaluation)
    alphabets = [a for part in parts for a in part.alphabets]
    drawers = [d for part in parts for d in part.drawers]
    return len(set(alphabets)) == len(alphabets) and len(set(drawers)) == len(drawers) == 20


def test_strokes_are_cut_into_disjoint_parts(strokes: Drawings) -> None:
    cut = split(strokes)
    assert disjoint(cut)
    assert len(cut.train.alphabets) == 16
    assert {a.partition("-")[0] for a in cut.validation.alphabets} == {"validation"}
    assert {a.partition("-")[0] for a in cut.evaluation.alphabets} == {"evaluation"}
    assert cut.train.drawers == tuple(range(9, 21))


def test_omniglot_is_cut_as_the_paper_does(real_omniglot: Drawings) -> None:
    cut = split(real_omniglot)
    assert disjoint(cut)
    assert cut.train.ink.shape[:2] == (964, 12)
    assert cut.validation.alphabets == VALIDATION_ALPHABETS
    assert cut.evaluation.alphabets == EVALUATION_ALPHABETS
    assert len(cut.validation.alphabets) == len(cut.evaluation.alphabets) == 10
