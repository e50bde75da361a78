"""The examples run: on a small random base here, on the real one by hand (RESULTS.md)."""

import runpy
from pathlib import Path

import plaudit
from plaudit.samples import SUPPORT_DESK

EXAMPLES = Path(__file__).parents[1] / "examples"


def example(name):
    return runpy.run_path(str(EXAMPLES / name), run_name="example")["main"]


def test_ranking_loss(tmp_path, capsys):
    example("ranking_loss.py")(str(tmp_path / "loss.svg"))
    assert "loss of the three pairs: 0.2100" in capsys.readouterr().out
    assert (tmp_path / "loss.svg").read_text().count("<path") > 3


def test_plain_loop_trains_and_saves_what_plaudit_scores(tmp_path, tiny_base, capsys):
    example("plain_loop.py")(str(SUPPORT_DESK), str(tmp_path / "rm"), str(tiny_base), 64)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("head only: held-out loss 0.6931 -> ")
    assert lines[1].startswith("top 2 layers and head: held-out loss 0.6931 -> ")
    for name in ("rm-head", "rm-top2"):
        report = plaudit.evaluate(plaudit.load(str(tmp_path / name)), str(SUPPORT_DESK))
        assert report.numbers["accuracy"].n == 456


def test_python_api(tmp_path, tiny_base, capsys):
    example("python_api.py")(str(tmp_path / "rm"), str(tiny_base))
    printed = capsys.readouterr().out
    assert "best: 'It left the depot today" in printed
    assert "Trained(RewardModel(" in printed


def test_grpo_runs_with_the_reward(tmp_path, tiny_base):
    plaudit.train(str(SUPPORT_DESK), tmp_path / "rm", base=str(tiny_base), layer="2")
    log = example("grpo.py")(str(tmp_path / "rm"), str(tiny_base), 2, str(tmp_path / "out"))
    rewards = [entry["rewards/plaudit/mean"] for entry in log if "rewards/plaudit/mean" in entry]
    assert len(rewards) == 2
    assert all(float(reward) != 0 for reward in rewards)
