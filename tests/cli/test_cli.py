"""The command line in processes of its own: outputs, exit codes, resuming."""

import json
import os
import subprocess
import sys

import pytest

from plaudit.samples import SUPPORT_DESK

ENV = os.environ | {"COLUMNS": "100"}


def run(*arguments, stdin=None, env=None):
    return subprocess.run(
        [sys.executable, "-m", "plaudit", *map(str, arguments)],
        capture_output=True,
        text=True,
        input=stdin,
        env=ENV | (env or {}),
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory, tiny_base):
    folder = tmp_path_factory.mktemp("model")
    done = run(
        "train",
        SUPPORT_DESK,
        "-o",
        folder / "rm",
        "--base",
        tiny_base,
        "--dtype",
        "float32",
        "--html",
        folder / "report.html",
        env={"PLAUDIT_FEATURES": str(folder / "features")},
    )
    assert done.returncode == 0, done.stderr
    assert "Held-out accuracy by training pairs" in done.stdout
    assert "at most about" in done.stderr
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    return folder / "rm"


def test_check_prints_and_gives_its_exit_code(tmp_path):
    done = run("check", SUPPORT_DESK)
    assert done.returncode == 0
    assert "Fit for training." in done.stdout
    leak = run("check", SUPPORT_DESK, "--test", SUPPORT_DESK, "--json")
    assert leak.returncode == 1
    assert json.loads(leak.stdout)["fatal"][0].startswith("152 prompts in both train and test")
    assert run("check", tmp_path / "none.jsonl").returncode == 1
    piped = run("check", "-", stdin=SUPPORT_DESK.read_text())
    assert piped.returncode == 0


def test_wrong_use_is_2_and_one_clear_line():
    for arguments in (
        ["chek"],
        ["train", "x"],
        ["train", SUPPORT_DESK, "-o", "m", "--layer", "top"],
    ):
        done = run(*arguments)
        assert done.returncode == 2, done
        assert "plaudit:" in done.stderr
        assert "Traceback" not in done.stderr


def test_evaluate(model, tmp_path):
    done = run(
        "evaluate",
        model,
        SUPPORT_DESK,
        "--json",
        "--slice",
        "topic",
        "--against",
        model,
        "--html",
        tmp_path / "r.html",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["held_out"]["accuracy"]["n"] == 456
    assert result["held_out"]["accuracy difference"]["value"] == 0
    assert "<svg" in (tmp_path / "r.html").read_text()


def test_score_streams_in_order_and_resumes(model, tmp_path):
    rows = [{"id": i, "prompt": f"q{i}", "response": f"answer {i}"} for i in range(20)]
    rows[7] = {"id": 7, "text": "no response"}
    rows.append({"id": 20, "prompt": "q", "responses": ["one", "two, longer"]})
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run("score", model, source, "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["id"] for line in lines] == list(range(21))
    assert lines[7]["score"] is None
    assert "in.jsonl:8" in lines[7]["error"]
    assert len(lines[20]["score"]) == 2
    assert lines[20]["rank"][lines[20]["best"]] == 1
    assert all(line["std"] > 0 for line in lines[:7])
    whole = done.stdout.splitlines(keepends=True)
    target.write_text("".join(whole[:5]) + whole[5][:10])  # torn in the middle of a line
    again = run("score", model, source, "-o", target, "--dtype", "float32")
    assert "going on after 5 rows" in again.stderr
    resumed = [json.loads(line) for line in target.read_text().splitlines()]
    assert [r["id"] for r in resumed] == list(range(21))
    assert resumed[12]["score"] == pytest.approx(lines[12]["score"], abs=1e-4)
    strict = run("score", model, source, "--strict")
    assert strict.returncode == 1
    assert "in.jsonl:8: nothing to score" in strict.stderr


def test_add_and_export_say_what_they_did(tmp_path):
    desk, out = tmp_path / "desk.db", tmp_path / "out"
    added = run("add", desk, SUPPORT_DESK)
    assert added.returncode == 0, added.stderr
    assert "two-responses, 456 rows: 456 comparisons added, 456 labels" in added.stderr
    assert "456 comparisons, 456 judgments, 456 opinions asked for" in " ".join(
        added.stdout.split()
    )
    again = json.loads(run("add", desk, SUPPORT_DESK, "--json").stdout)
    assert again["added"][0]["known"] == 456
    assert again["study"]["judgments"] == 456
    exported = run("export", desk, "-o", out, "--format", "trl")
    assert exported.returncode == 0, exported.stderr
    assert "train.jsonl: 456 rows" in exported.stdout
    assert json.loads((out / "manifest.json").read_text())["judgments"] == 456


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["add", "desk.db"], 2, "add needs DATA"),
        (["collect"], 2, "collect needs a study"),
        (["export", "none.db"], 1, "no such study"),
        (["export", "none.db", "--format", "csv"], 2, "csv"),
        (["add", "desk.db", "nothing.jsonl"], 1, "no such file"),
        (["collect", "desk.db", "--root-path", "x/"], 2, "--root-path must start with /"),
    ],
)
def test_collecting_used_wrongly_says_what_to_do(tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    done = run(*words, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == code, done.stderr
    assert message in done.stderr
