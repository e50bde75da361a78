"""Round trip: add, judge over HTTP, export, check, train, evaluate, each by its command."""

import json

import pytest

from plaudit.cli.main import app
from plaudit.samples import SUPPORT_DESK
from plaudit.study import Study
from tests.simulated import Choice, SimulatedAnnotator, plain_text
from tests.study.conftest import Server


def run(*words):
    """A command, in this process; its exit code."""
    try:
        app([str(word) for word in words], exit_on_error=False, print_error=False)
    except SystemExit as end:
        return end.code or 0
    return 0


def knows(rows):
    """Chooses as the labels of the rows say, whichever side a response stands on."""
    better = set()
    for row in rows:
        chosen, other = ("response_a", "response_b")[:: 1 if row["label"] == "a" else -1]
        better.add((" ".join(row[chosen].split()), " ".join(row[other].split())))

    def choose(item):
        left, right = (" ".join(plain_text(item[side]).split()) for side in ("left", "right"))
        if (left, right) in better:
            return Choice("left", 2)
        return Choice("right", 2) if (right, left) in better else Choice("skip")

    return choose


@pytest.mark.slow
def test_from_candidates_to_a_model(tmp_path, tiny_base, capsys):
    rows = [json.loads(line) for line in SUPPORT_DESK.read_text().splitlines()]
    plain = [
        row for row in rows if not set("*`_$\\<>[]#|~") & set(row["response_a"] + row["response_b"])
    ]
    candidates = tmp_path / "candidates.jsonl"
    unlabelled = [
        {k: row[k] for k in ("prompt", "response_a", "response_b", "topic")} for row in plain
    ]
    candidates.write_text("".join(json.dumps(row) + "\n" for row in unlabelled))
    target = tmp_path / "desk.db"
    assert run("add", target, candidates, "--overlap", "2") == 0
    with Study(target) as study, Server(study) as server:
        for _ in range(2):
            SimulatedAnnotator(server.link(), knows(plain)).run(len(plain) + 20)
        judged = study.counts()["judgments"]
    assert judged >= 1.8 * len(plain)
    assert run("export", target, "-o", tmp_path / "out", "--test-share", "0.2") == 0
    train, test = (tmp_path / "out" / f"{side}.jsonl" for side in ("train", "test"))
    assert run("check", train, "--test", test) == 0
    model = tmp_path / "model"
    assert run("train", train, "--test", test, "-o", model, "--base", tiny_base) == 0
    capsys.readouterr()
    assert run("evaluate", model, test, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report
    labels = {(row["response_a"], row["response_b"]): row["label"] for row in plain}
    right = 0
    exported = [
        json.loads(line) for path in (train, test) for line in path.read_text().splitlines()
    ]
    for row in exported:
        a, b = row["response_a"][0]["content"], row["response_b"][0]["content"]
        label = labels.get((a, b)) or {"a": "b", "b": "a"}[labels[b, a]]
        right += (row["p"] > 0.5) == (label == "a")
    assert right / len(exported) > 0.98
