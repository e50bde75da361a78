"""Benchmarks by their authors' rules: constant scores, and examples worked out by hand."""

import json

import numpy as np
import pytest

from plaudit.data import read
from plaudit.data.readers.rewardbench import SECTIONS
from plaudit.evaluation import evaluate
from plaudit.evaluation.benchmarks import best_credit, ties_score
from plaudit.types import Scores

from ..conftest import SHARED


class ByText:
    """Scores responses by their text."""

    def __init__(self, scores):
        self.scores = scores

    def score(self, conversations):
        return Scores(
            np.array([float(self.scores.get(c.messages[-1].text, 0)) for c in conversations])
        )


def bench(report):
    return report.sections[-2]  # the probes come after it


def bench_rows(tmp_path, rows):
    path = tmp_path / "bench.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(str(path))


def test_rewardbench_2_of_a_constant_score_is_20_8(tmp_path, constant_scorer):
    rows = []
    for subset in ("Factuality", "Precise IF", "Math", "Safety", "Focus"):
        rows += [
            {
                "id": str(i),
                "subset": subset,
                "prompt": f"{subset} {i}",
                "chosen": ["a"],
                "rejected": ["b", "c", "d"],
                "num_correct": 1,
            }
            for i in range(4)
        ]
    for kind, chosen in (("ref", ["a"]), ("tied", ["a", "b"])):
        rows += [
            {
                "id": f"{kind}:{i}",
                "subset": "Ties",
                "prompt": f"{kind}{i}",
                "chosen": chosen,
                "rejected": ["y", "z"],
                "num_correct": len(chosen),
            }
            for i in range(3)
        ]
    report = evaluate(constant_scorer, bench_rows(tmp_path, rows))
    lines = {name: value for name, value, _ in bench(report).lines}
    assert lines["Focus"].value == 0.25
    assert lines["Ties"].value == pytest.approx(0.0, abs=1e-9)
    assert lines["RewardBench 2 total"].value == pytest.approx(5 * 0.25 / 6, abs=1e-9)


def test_rewardbench_1_weights_and_strict_ties(tmp_path, constant_scorer, fake_scorer):
    row = {"chosen": "a long and good one", "rejected": "bad"}
    rows = [
        {**row, "id": 1, "prompt": "p1", "subset": "hep-cpp"},
        {
            **row,
            "id": 2,
            "prompt": "p2",
            "subset": "math-prm",
            "chosen": "x",
            "rejected": "a longer one",
        },
    ]
    lines = {n: v for n, v, _ in bench(evaluate(constant_scorer, bench_rows(tmp_path, rows))).lines}
    assert lines["hep-cpp"].value == 0.0
    lines = {n: v for n, v, _ in bench(evaluate(fake_scorer, bench_rows(tmp_path, rows))).lines}
    assert lines["Reasoning (5 subsets missing)"].value == pytest.approx(164 / (164 + 984))
    assert "RewardBench total" not in lines


def test_rm_bench_needs_every_domain_for_a_total(fake_scorer, constant_scorer):
    path = SHARED / "rm_bench_chat_sample.json"
    if not path.exists():
        pytest.skip("the sample is not here")
    report = evaluate(constant_scorer, read(str(path)))
    assert all(value.value == 0 for _, value, _ in bench(report).lines)
    assert "no official total" in bench(report).note
    lines = {n: v.value for n, v, _ in bench(evaluate(fake_scorer, read(str(path)))).lines}
    easy = next(v for n, v in lines.items() if n.endswith("easy"))
    hard = next(v for n, v in lines.items() if n.endswith("hard"))
    assert easy > 0.7 > 0.2 > hard  # a model that loves length


def test_best_of_four_and_ties_by_hand():
    assert best_credit(np.array([1.0, 1.0, 0.0, 0.0])) == 0.5
    assert best_credit(np.array([0.0, 1.0, 0.0, 0.0])) == 0.0

    class Row:
        def __init__(self, id, preferred, scores):
            self.slate = type("S", (), {"columns": {"id": id}, "preferred": preferred})
            self.scores = np.array(scores)

    perfect = [Row("ref:1", (0,), [9.0, 0.0]), Row("tied:1", (0, 1), [9.0, 8.0, 0.0])]
    assert ties_score(perfect) == pytest.approx(0.3 + 0.3 + 0.2 + 0.2 + 0.01 * np.tanh(7))


def lines(report):
    return {name: value.value for name, value, _ in bench(report).lines}


def test_rewardbench_1_by_hand(tmp_path):
    """Everything right but one of two alpacaeval-easy rows and both math-prm rows.

    Chat = 1 − ½ · 100 / 358 = 0.860335; Reasoning = 1 − 984 / 1968 = ½; the mean with two
    perfect sections is 0.840084.
    """
    scores, rows = {}, []
    for subsets in SECTIONS.values():
        for subset in subsets:
            for i in range(2):
                wrong = subset == "math-prm" or (subset == "alpacaeval-easy" and i == 0)
                good, bad = f"{subset} {i} good", f"{subset} {i} bad"
                scores |= {good: -1 if wrong else 1, bad: 0}
                row = {"id": f"{subset}{i}", "subset": subset, "prompt": f"{subset} {i}?"}
                rows.append({**row, "chosen": good, "rejected": bad})
    found = lines(evaluate(ByText(scores), bench_rows(tmp_path, rows)))
    assert found["Chat"] == pytest.approx(0.860335, abs=1e-6)
    assert found["Reasoning"] == pytest.approx(0.5)
    assert found["RewardBench total"] == pytest.approx(0.840084, abs=1e-6)
    missing = lines(evaluate(ByText(scores), bench_rows(tmp_path, rows[2:])))
    assert "RewardBench total" not in missing


def test_rewardbench_2_by_hand(tmp_path):
    """½, ¼, 1, 0, ½ and Ties 0.3 + 0.3 + 0 + 0 + 0.01 · tanh(½ − 1): mean 0.474230."""
    of_four = {
        "Factuality": [[3, 0, 1, 2], [0, 3, 1, 2]],
        "Precise IF": [[1, 1, 1, 1]],
        "Math": [[1, 0, 0, 0]],
        "Safety": [[0, 1, 1, 1]],
        "Focus": [[2, 2, 0, 1]],
    }
    rows, scores = [], {}

    def add(subset, name, values, correct):
        texts = [f"{subset} {name} {k}" for k in range(len(values))]
        scores.update(zip(texts, values, strict=True))
        rows.append(
            {
                "id": name,
                "subset": subset,
                "prompt": f"{subset} {name}?",
                "chosen": texts[:correct],
                "rejected": texts[correct:],
                "num_correct": correct,
            }
        )

    for subset, lists in of_four.items():
        for number, values in enumerate(lists):
            add(subset, str(number), values, 1)
    add("Ties", "ref:1", [9, 5], 1)
    add("Ties", "tied:1", [8, 6, 5], 2)
    found = lines(evaluate(ByText(scores), bench_rows(tmp_path, rows)))
    assert found["Factuality"] == 0.5
    assert found["Precise IF"] == 0.25
    assert found["Ties"] == pytest.approx(0.6 + 0.01 * np.tanh(-0.5))
    assert found["RewardBench 2 total"] == pytest.approx(0.474230, abs=1e-6)


RM_BENCH = {  # domain: scores of the three chosen, then of the three rejected responses, a row
    "chat": [[2, 2, 2, 1, 1, 1]],
    "code": [[1, 2, 3, 1.5, 2.5, 3.5]],  # only the three easy cells are right
    "math": [[1, 1, 1, 1, 1, 1]],  # equal scores are wrong
    "safety-refuse": [[2, 2, 2, 1, 1, 1]],
    "safety-response": [[1, 1, 1, 2, 2, 2], [1, 1, 1, 2, 2, 2]],
}


def rm_rows(domains):
    rows, scores = [], {}
    for domain in domains:
        for number, values in enumerate(RM_BENCH[domain]):
            texts = [f"{domain} {number} {k}" for k in range(6)]
            scores.update(zip(texts, values, strict=True))
            row = {"id": f"{domain}/{number}", "prompt": f"{domain} {number}?", "domain": domain}
            rows.append({**row, "chosen": texts[:3], "rejected": texts[3:]})
    return rows, ByText(scores)


def test_rm_bench_by_hand(tmp_path):
    """Five domains in the files are four: safety pools its rows, so ⅓ and not the mean ½.

    Domains 1, ⅓, 0, ⅓: total 5/12. Levels over domains: hard ⅓, normal ⅓, easy 7/12.
    """
    rows, scorer = rm_rows(RM_BENCH)
    found = lines(evaluate(scorer, bench_rows(tmp_path, rows)))
    assert found["safety"] == pytest.approx(1 / 3)
    assert found["code, easy"] == 1.0
    assert found["code, hard"] == found["code, normal"] == 0.0
    assert found["hard, average"] == pytest.approx(1 / 3)
    assert found["normal, average"] == pytest.approx(1 / 3)
    assert found["easy, average"] == pytest.approx(7 / 12)
    assert found["RM-Bench total"] == pytest.approx(5 / 12)


@pytest.mark.parametrize("missing", ["math", "safety-refuse", "safety-response"])
def test_rm_bench_without_a_file_has_no_total(tmp_path, missing):
    rows, scorer = rm_rows([domain for domain in RM_BENCH if domain != missing])
    report = evaluate(scorer, bench_rows(tmp_path, rows))
    assert "RM-Bench total" not in lines(report)
    assert "no official total" in bench(report).note


def test_a_row_without_a_score_leaves_no_total(tmp_path):
    rows, scorer = rm_rows(RM_BENCH)

    class OneFails:
        def score(self, conversations):
            mean = scorer.score(conversations).mean
            failed = [i for i, c in enumerate(conversations) if c.messages[-1].text == "chat 0 1"]
            mean[failed] = np.nan
            return Scores(mean, problems=dict.fromkeys(failed, "too long"))

    report = evaluate(OneFails(), bench_rows(tmp_path, rows))
    assert "RM-Bench total" not in lines(report)
    assert bench(report).note == "1 rows have no score: there is no official total."
