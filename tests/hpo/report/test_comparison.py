"""The report's section that sets a study beside other systems."""

import re
from pathlib import Path

import pytest

from data.drawings import Drawings
from data.sources.mnist import draw_digit_tasks, load_digits
from data.split import split
from data.tasks import draw_tasks, load_official_runs
from hpo.paper.baselines import KeptScore, kept_scores
from hpo.paper.published import OMNIGLOT
from hpo.report.comparison import HEADER, comparison
from hpo.study.evaluations import Look, keep_look
from tests.data.fake_mnist import write_fake_mnist
from tests.data.official_runs import write_runs
from tests.hpo.big_study import big_study
from tests.hpo.command import Hpo
from tests.hpo.tiny_study import tiny_settings, write_tiny

RUNS = "400 tasks of 20 official-format runs"
DRAWS = "400 random draws, 20-way within one alphabet, seed 0"


def a_score(name: str, accuracy: float, source: str) -> KeptScore:
    return KeptScore(
        name=name,
        accuracy=accuracy,
        interval=(accuracy - 0.04, accuracy + 0.04),
        tasks=400,
        source=source,
        drawn_from=None,
        network=None,
        when="2026-01-02T03:04:05+00:00",
    )


def a_look(accuracy: float, source: str, when: str = "2026-02-03T04:05:06.000+00:00") -> Look:
    return Look(when, "best.safetensors", accuracy, (0.8, 0.9), 400, source)


def rows_of(html: str) -> list[list[str]]:
    body = html[html.index("<tbody>") : html.index("</tbody>")]
    rows = [re.findall("<td[^>]*>([^<]*)", row) for row in body.split("<tr>")[1:]]
    assert all(len(row) == len(HEADER) for row in rows)
    return rows


def test_measured_beside_published_each_with_its_source() -> None:
    html = comparison(
        [a_score("hausdorff", 0.62, RUNS), a_score("hausdorff", 0.51, DRAWS)],
        [a_look(0.8, DRAWS, "2026-01"), a_look(0.85, DRAWS)],
    )
    rows = rows_of(html)
    when = "2026-01-02 03:04"
    assert rows[0] == ["hausdorff", "62.0 %", "58.0 % – 66.0 %", "400", RUNS, "61.2 %", when]
    assert rows[1][1:5] == ["51.0 %", "47.0 % – 55.0 %", "400", DRAWS]
    own = ["this study: best.safetensors", "85.0 %", "80.0 % – 90.0 %", "400", DRAWS, "–"]
    assert rows[2] == [*own, "2026-02-03 04:05"]
    rest = [name for name in OMNIGLOT if name != "hausdorff"]
    assert [row[0] for row in rows[3:]] == rest
    assert rows[3] == ["humans", "not run", "–", "–", "–", "95.5 %", "–"]
    assert "on the 400 tasks of the official runs" in html
    assert "hpo baselines" not in html


def test_nothing_measured_names_the_command_and_lists_what_is_published() -> None:
    html = comparison([], [])
    assert "No other system has been measured here: <code>hpo baselines</code> does it." in html
    assert [row[0] for row in rows_of(html)] == list(OMNIGLOT)
    assert "last look" not in html


def test_only_looks_at_tasks_of_the_same_kind_have_a_row(strokes: Drawings, tmp_path: Path) -> None:
    digits = load_digits(write_fake_mnist(tmp_path / "digits"))
    small = split(strokes.resized(20)).evaluation
    runs = load_official_runs(write_runs(tmp_path / "runs", strokes, runs=1))
    alike = [draw_tasks(small, 20, 0), runs]
    others = [draw_tasks(small, 20, 0, shots=3), draw_digit_tasks(digits, 20, 0)]
    html = comparison([], [a_look(0.5, tasks.source) for tasks in (*alike, *others)])
    shown = [row[4] for row in rows_of(html) if row[0].startswith("this study")]
    assert shown == [tasks.source for tasks in alike]


def test_the_report_has_what_was_measured(hpo: Hpo, tmp_path: Path, strokes: Drawings) -> None:
    stored = big_study(f"sqlite:///{tmp_path / 'study.db'}", 2, 3)
    keep_look(stored.study, a_look(0.85, DRAWS))
    report = f"report paper --storage sqlite:///{tmp_path / 'study.db'} -o page.html"
    assert hpo(report).status == 0
    before = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert '<h2 id="comparison-title">Comparison</h2>' in before
    assert "<code>hpo baselines</code> does it" in before
    runs = write_runs(tmp_path / "runs", strokes, runs=1)
    for name in ("chance", "nearest-neighbour"):
        assert hpo(f"baselines --runs {runs} --only {name}").status == 0
    assert [one.name for one in kept_scores("made-up")] == ["nearest-neighbour", "chance"]
    assert hpo(report).status == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    rows = rows_of(page[page.index('id="comparison"') :])
    assert [row[0] for row in rows[:3]] == [
        "nearest-neighbour",
        "chance",
        "this study: best.safetensors",
    ]
    assert rows[1][4] == "20 tasks of 1 official-format runs in runs"
    assert rows[0][5] == "21.7 %"


def test_a_study_of_drawn_alphabets_has_no_such_section(hpo: Hpo, tmp_path: Path) -> None:
    write_tiny(tmp_path / "studies")
    url = f"sqlite:///{tmp_path / 'study.db'}"
    big_study(url, 1, 3, tiny_settings(tmp_path), name="tiny")
    assert hpo(f"report tiny --storage {url} -o page.html").status == 0
    assert "Comparison" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_scores_that_cannot_be_kept_are_printed_all_the_same(
    hpo: Hpo, tmp_path: Path, strokes: Drawings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "full").write_text("")
    monkeypatch.setenv("HPO_CACHE", str(tmp_path / "full"))
    runs = write_runs(tmp_path / "runs", strokes, runs=1)
    outcome = hpo(f"baselines --runs {runs} --only chance")
    assert outcome.status == 0
    assert "5.0 %" in outcome.out
    assert "chance is not kept for hpo report" in outcome.err
