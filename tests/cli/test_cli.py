"""The command line: outputs, exit codes, resuming, full disks.

Most run in this process, as `main` with its words; what only a process shows runs in one.
"""

import io
import json
import os
import re
import socket
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from plaudit.cli import main
from plaudit.cli.score import ScoreRun
from plaudit.samples import SUPPORT_DESK

ENV = os.environ | {"COLUMNS": "100"}


def run(*arguments, stdin=None, env=None):
    """`plaudit ARGUMENTS` in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    words = ["plaudit", *map(str, arguments)]
    with (
        patch.object(sys, "argv", words),
        patch.object(sys, "stdin", io.StringIO(stdin or "")),
        patch.dict(os.environ, {"COLUMNS": "100"} | (env or {})),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
    return SimpleNamespace(returncode=code or 0, stdout=out.getvalue(), stderr=err.getvalue())


def process(*arguments, **settings):
    words = [sys.executable, "-m", "plaudit", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings
    return subprocess.run(words, text=True, env=ENV, **pipes)


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
    assert "Ready to train." in done.stdout
    leak = run("check", SUPPORT_DESK, "--test", SUPPORT_DESK, "--json")
    assert leak.returncode == 1
    assert json.loads(leak.stdout)["fatal"][0].startswith("152 prompts in both train and test")
    assert run("check", tmp_path / "none.jsonl").returncode == 1
    piped = process("check", "-", stdin=SUPPORT_DESK.open())
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


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_rows(text):
    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def answers(count):
    return [{"id": i, "prompt": f"q{i}", "response": f"answer {i}"} for i in range(count)]


def test_score_streams_in_order(model, tmp_path):
    rows = answers(20)
    rows[7] = {"id": 7, "text": "no response"}
    rows.append({"id": 20, "prompt": "q", "responses": ["one", "two, longer"]})
    source = write_rows(tmp_path / "in.jsonl", rows)
    done = run("score", model, source, "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    lines = read_rows(done.stdout)
    assert [line["id"] for line in lines] == list(range(21))
    assert lines[7]["score"] is None
    assert "in.jsonl:8" in lines[7]["error"]
    assert len(lines[20]["score"]) == 2
    assert lines[20]["rank"][lines[20]["best"] - 1] == 1
    assert all(line["std"] > 0 for line in lines[:7])
    strict = run("score", model, source, "--strict")
    assert strict.returncode == 1
    assert "in.jsonl:8: nothing to score" in strict.stderr


def test_score_resumes_where_it_stopped_and_says_what_the_file_holds(model, tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_rows(source, answers(5))
    assert run("score", model, source, "-o", target, "--dtype", "float32").returncode == 0
    first = target.read_text()
    with target.open("a") as file:  # a run that was killed in the middle of a line
        file.write('{"id": 5, "prompt": "q5", "resp')
    write_rows(source, answers(12))
    again = run("score", model, source, "-o", target, "--dtype", "float32")
    assert "resuming after 5 rows" in again.stderr
    assert target.read_text().startswith(first)
    assert [r["id"] for r in read_rows(target.read_text())] == list(range(12))
    state = json.loads((tmp_path / "out.jsonl.state.json").read_text())
    assert state["data"]["rows"] == 12
    assert state["settings"]["model"]["name"] == str(model)


@pytest.mark.parametrize("change", ["model", "data", "settings", "no state", "fewer rows"])
def test_scores_of_something_else_are_never_taken_for_this_ones(model, tiny_base, tmp_path, change):
    from shutil import copytree

    source = write_rows(tmp_path / "in.jsonl", answers(3))
    target, state = tmp_path / "out.jsonl", tmp_path / "out.jsonl.state.json"
    assert run("score", model, source, "-o", target).returncode == 0
    before, other, more = target.read_text(), model, []
    if change == "model":
        other = copytree(model, tmp_path / "other")
        (other / "config.json").write_text((model / "config.json").read_text() + " ")
    elif change == "data":
        write_rows(source, answers(4)[1:])
    elif change == "settings":
        more = ["--max-length", "1024"]
    elif change == "no state":
        state.unlink()
    else:
        target.write_text("".join(before.splitlines(keepends=True)[:2]))
    done = run("score", other, source, "-o", target, *more)
    assert done.returncode == 2, done.stderr
    assert "--overwrite" in done.stderr
    assert "scored" not in done.stderr.splitlines()[-1].split(":")[0]
    if change != "fewer rows":
        assert target.read_text() == before
    if change != "model":  # the copy was tampered with and is refused at loading
        again = run("score", other, source, "-o", target, "--overwrite", *more)
        assert again.returncode == 0, again.stderr
        assert len(read_rows(target.read_text())) == 3


def test_own_columns_survive_beside_plaudits(model, tmp_path):
    rows = [
        {"prompt": "q", "response": "a", "error": None, "score": float("nan")},
        {"prompt": "q", "response": "b", "error": "none reported", "input_error": "x", "best": 2},
        {"prompt": "q", "response": "c", "probability": 1, "note": "mine"},
    ]
    done = run("score", model, write_rows(tmp_path / "in.jsonl", rows), "--strict")
    assert done.returncode == 0, done.stderr
    one, two, three = read_rows(done.stdout)
    assert one["input_score"] is None
    assert isinstance(one["score"], float)
    assert (two["input_error"], two["input_input_error"]) == ("x", "none reported")
    assert two["input_best"] == 2
    assert (three["input_probability"], three["input_note"]) == (1, "mine")
    assert not any("error" in row for row in (one, two, three))
    assert "error as input_error" in done.stderr
    assert "3 rows scored" in done.stderr


def test_pairs_and_best_of_give_probabilities(model, tmp_path):
    rows = [{"prompt": "q", "responses": ["one", "two, longer"]}]
    source = write_rows(tmp_path / "in.jsonl", rows)
    (pair,) = read_rows(run("score", model, source, "--pairs", "--dtype", "float32").stdout)
    difference = pair["score"][0] - pair["score"][1]
    assert pair["probability"] == pytest.approx(1 / (1 + 2.718281828**-difference), abs=1e-4)
    (best,) = read_rows(run("score", model, source, "--best-of", "--dtype", "float32").stdout)
    assert 0.5 <= best["probability"] <= 1
    assert best["rank"][best["best"] - 1] == 1
    one = write_rows(tmp_path / "one.jsonl", answers(3))
    for flag, message in (("--pairs", "needs two responses"), ("--best-of", "needs several")):
        refused = run("score", model, one, flag)
        assert refused.returncode == 1
        assert message in refused.stderr
    assert run("score", model, source, "--pairs", "--best-of").returncode == 2


def test_more_than_a_tenth_bad_is_exit_code_1_and_errors_collapse(model, tmp_path):
    rows = answers(40)
    for i in range(6):
        rows[4 * i] = {"id": i, "text": "no response"}
    source = write_rows(tmp_path / "in.jsonl", rows)
    done = run("score", model, source)
    assert done.returncode == 1
    assert len(read_rows(done.stdout)) == 40
    (line,) = [line for line in done.stderr.splitlines() if "nothing to score" in line]
    assert line.startswith("plaudit: 6 rows: ")
    assert line.count("in.jsonl:") == 3
    assert "40 rows scored, 6 of them bad" in done.stderr
    target = tmp_path / "none.jsonl"
    bad = write_rows(tmp_path / "bad.jsonl", [{"text": "x"}] * 3)
    nothing = run("score", model, bad, "-o", target)
    assert nothing.returncode == 1
    assert "nothing can be scored. 3 rows: nothing to score" in nothing.stderr
    assert not target.exists()
    data = write_rows(
        tmp_path / "pairs.jsonl",
        [{"prompt": "q", "response_a": "a", "response_b": "b", "label": "a"}] * 8 + [{"x": 1}] * 2,
    )
    refused = run("evaluate", model, data)
    assert refused.returncode == 1
    assert "2 of 10 rows cannot be read" in refused.stderr


def test_a_few_bad_rows_are_left_out_and_named(model, tmp_path):
    row = {"response_a": "a", "response_b": "b, longer", "label": "a"}
    rows = [{**row, "prompt": f"q{i}"} for i in range(30)] + [{**row, "prompt": "q", "label": "?"}]
    done = run("evaluate", model, write_rows(tmp_path / "in.jsonl", rows), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["dropped"]["unreadable"] == 1
    assert any("in.jsonl:31" in warning for warning in result["warnings"])


def test_an_output_that_cannot_be_made_is_refused_before_any_work(model, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", answers(3))
    for words in (
        ["score", model, source, "-o", tmp_path / "no" / "out.jsonl"],
        ["score", model, source, "-o", tmp_path],
        ["evaluate", model, SUPPORT_DESK, "--html", tmp_path / "no" / "r.html"],
    ):
        done = run(*words)
        assert done.returncode == 2, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "no").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_one_line(model, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", answers(3))
    for words in (["score", model, source, "-o", "/dev/full"], ["check", SUPPORT_DESK]):
        with open("/dev/full", "w") as full:
            done = process(*words, stdout=full)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr


def test_half_a_character_costs_its_row_only(model, tmp_path):
    rows = [{"prompt": "q", "response": "\ud83d"}, *answers(19)]
    done = run("score", model, write_rows(tmp_path / "in.jsonl", rows))
    assert done.returncode == 0, done.stderr
    lines = read_rows(done.stdout)
    assert len(lines) == 20
    assert "half a character" in lines[0]["error"]
    assert all("error" not in line for line in lines[1:])


def test_help_loads_neither_torch_nor_transformers():
    code = (
        "import sys; sys.argv = ['plaudit', '--help']\n"
        "from plaudit.cli import main\nmain()\n"
        "print({'torch', 'transformers', 'scipy', 'sqlalchemy', 'fastapi'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV)
    assert done.stdout.splitlines()[-1] == "set()", done.stderr


def test_a_missing_extra_is_one_line(tmp_path):
    for name in ("torch", "transformers"):
        (tmp_path / f"{name}.py").write_text("")
    code = (
        "import sys, importlib.util, plaudit.errors as errors\n"
        "errors.find_spec = lambda name: None\n"
        "sys.argv = ['plaudit', 'evaluate', 'm', 'd']\n"
        "from plaudit.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=ENV)
    assert done.returncode == 2
    assert done.stderr == (
        "plaudit: plaudit evaluate needs torch, transformers: pip install 'plaudit[model]'\n"
    )


def test_ctrl_c_promises_only_what_is_true(model, tmp_path):
    source, target = write_rows(tmp_path / "in.jsonl", answers(3)), tmp_path / "out.jsonl"
    for place, words, kept in (
        ("plaudit.data.read", ["check", SUPPORT_DESK], ""),
        (
            "plaudit.cli.score.open_scorer",
            ["score", model, source],
            "; nothing is kept without -o FILE",
        ),
        (
            "plaudit.cli.score.open_scorer",
            ["score", model, source, "-o", target],
            f"; the same command resumes after the rows in {target}",
        ),
    ):
        with patch(place, side_effect=KeyboardInterrupt):
            done = run(*words)
        assert done.returncode == 130
        assert done.stderr.strip() == f"plaudit: interrupted{kept}"


def test_a_killed_run_resumes_to_the_very_same_file(model, tmp_path):
    source = write_rows(tmp_path / "in.jsonl", answers(700))
    whole, cut = tmp_path / "whole.jsonl", tmp_path / "cut.jsonl"
    assert run("score", model, source, "-o", whole, "--dtype", "float32").returncode == 0
    scores = ScoreRun.lines
    calls = iter([False, True])

    def killed(self, *words):
        if next(calls):
            raise KeyboardInterrupt
        return scores(self, *words)

    with patch.object(ScoreRun, "lines", killed):
        assert run("score", model, source, "-o", cut, "--dtype", "float32").returncode == 130
    assert len(cut.read_text().splitlines()) == 256
    again = run("score", model, source, "-o", cut, "--dtype", "float32")
    assert "resuming after 256 rows" in again.stderr
    assert "700 rows scored (256 of them earlier)" in again.stderr
    assert cut.read_text() == whole.read_text()


def test_nothing_is_lost_by_an_overwrite_that_fails_or_an_output_that_is_the_data(model, tmp_path):
    source, target = write_rows(tmp_path / "in.jsonl", answers(3)), tmp_path / "out.jsonl"
    before = source.read_text()
    done = run("score", model, source, "-o", source, "--overwrite")
    assert done.returncode == 2
    assert "is the data itself" in done.stderr
    assert source.read_text() == before
    assert run("score", model, source, "-o", target).returncode == 0
    scored = target.read_text()
    with patch("plaudit.cli.score.open_scorer", side_effect=KeyboardInterrupt):
        assert run("score", model, source, "-o", target, "--overwrite").returncode == 130
    assert target.read_text() == scored


def test_names_from_the_data_are_no_markup(model, tmp_path):
    kinds = ["[/x]", "[red]y", "\x1b[31mz"]
    rows = [
        {
            "prompt": f"q{i}",
            "response_a": f"yes {i}",
            "response_b": f"no, {i}",
            "label": "ab"[i % 2],
            "kind[/b]": kinds[i % 3],
        }
        for i in range(30)
    ]
    source = write_rows(tmp_path / "in.jsonl", rows)
    for done in (run("check", source), run("evaluate", model, source)):
        assert done.returncode == 0, done.stderr
        assert all(kind in done.stdout for kind in ("[/x]", "[red]y", "[31mz"))
        assert "\x1b[31m" not in done.stdout


def test_a_column_that_looks_like_the_prompt_and_was_not_read_stops(model, tmp_path):
    rows = [
        {
            "prompt": f"q{i}",
            "chosen": f"yes {i}",
            "rejected": f"no {i}",
            "context": f"it is {i} o'clock",
        }
        for i in range(30)
    ]
    source = write_rows(tmp_path / "in.jsonl", rows)
    for words in (["check", source], ["evaluate", model, source]):
        done = run(*words)
        assert done.returncode == 1
        assert "--columns ignore=context" in " ".join((done.stdout + done.stderr).split())
    assert run("evaluate", model, source, "--columns", "ignore=context").returncode == 0


def test_an_unwritable_home_is_no_trouble(model):
    for home in ({"HOME": "/proc/nohome"}, {"HOME": "/proc/nohome", "XDG_CACHE_HOME": ""}):
        done = run("evaluate", model, SUPPORT_DESK, env=home)
        assert done.returncode == 0, done.stderr


def test_add_and_export_say_what_they_did(tmp_path):
    desk, out = tmp_path / "desk.db", tmp_path / "out"
    added = run("add", desk, SUPPORT_DESK, "--overlap", "1")
    assert added.returncode == 0, added.stderr
    assert "two-responses, 456 rows: 456 comparisons added, 456 labels" in added.stderr
    assert "456 comparisons, 456 judgments, 456 judgments remaining" in " ".join(
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
        (["export", "none.db", "--format", "xml"], 2, "xml"),
        (["export", "none.db", "--backup", "b.db", "--gold"], 2, "the whole study"),
        (["add", "desk.db", "nothing.jsonl"], 1, "no such file"),
        (["collect", "desk.db", "--root-path", "x/"], 2, "--root-path must start with /"),
    ],
)
def test_collecting_used_wrongly_says_what_to_do(tmp_path, monkeypatch, words, code, message):
    monkeypatch.chdir(tmp_path)
    done = run(*words, env={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.returncode == code, done.stderr
    assert message in done.stderr


@pytest.fixture
def quiet_server(monkeypatch):
    """`collect` up to the moment at which it would serve."""
    pytest.importorskip("uvicorn")
    monkeypatch.setattr("uvicorn.Server.run", lambda self, sockets: None)


def collected(tmp_path, *flags):
    done = run("collect", tmp_path / "desk.db", "--port", "0", *flags)
    assert done.returncode == 0, done.stderr
    return done.stderr


def joined(tmp_path, output, **details):
    """Use the link that was printed; the pseudonym, and whether it is an owner."""
    from plaudit.study import Study
    from plaudit.study.accounts import Newcomer, come_back, find_link, join

    (token,) = re.findall(r"http://127\.0\.0\.1:[1-9]\d*/join/([\w-]+)", output)
    with Study(tmp_path / "desk.db") as study:

        def work(db):
            if find_link(db, token).person is not None:
                return come_back(db, token)[0]
            return join(db, token, Newcomer(**details))[0]

        return study.database.transact(work)


def test_a_link_is_printed_whenever_no_owner_could_come_in_without(tmp_path, quiet_server):
    first = collected(tmp_path)
    assert "become the study's owner" in first
    owner = joined(tmp_path, first)
    assert owner.role == "owner"
    # Without a password only a browser knows them; the next start leads back in as the same one.
    again = collected(tmp_path)
    assert f"leads back in as {owner.pseudonym}" in again
    assert joined(tmp_path, again).id == owner.id
    with_account = collected(tmp_path, "--owner-link")
    joined(tmp_path, with_account, email="jo@example.com", password="a hash")
    assert "Judging at http://127.0.0.1:" in (said := collected(tmp_path))
    assert "/join/" not in said


def test_a_busy_port_is_one_line_and_leaves_nothing_behind(tmp_path):
    pytest.importorskip("uvicorn")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = run("collect", tmp_path / "desk.db", "--port", port)
    assert done.returncode == 1
    assert f"port {port} of 127.0.0.1 is already in use" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--trusted-proxy", "proxy.example", "takes addresses or networks"),
        ("--host-name", "https://desk.example", "without scheme and port"),
        ("--host-name", "desk.example:80", "without scheme and port"),
    ],
)
def test_names_and_proxies_that_are_none(tmp_path, flag, value, message):
    done = run("collect", tmp_path / "desk.db", flag, value)
    assert done.returncode == 2
    assert message in done.stderr


def test_an_add_that_fails_leaves_no_empty_study(tmp_path):
    assert run("add", tmp_path / "desk.db", tmp_path / "missing.jsonl").returncode == 1
    assert list(tmp_path.iterdir()) == []
