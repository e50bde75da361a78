"""The whole of `train` on a small random base: data in, model out, numbers held out."""

import json

import numpy as np
import pytest

import plaudit
from plaudit import train
from plaudit.config import TrainConfig
from plaudit.errors import DataError, UsageError
from plaudit.samples import SUPPORT_DESK
from plaudit.statistics.bradley_terry import sigmoid
from plaudit.training.frozen.head import PRIOR_STDS, choose, fit, labels, smoothed
from plaudit.training.frozen.layer_search import (
    candidate_layers,
    earlier_verdict,
    highest_contender,
    keep_verdict,
    portions,
    shuffled,
)


def write_data(path, count=240, flip=0.0, start=0):
    """Responses with an exclamation mark are better: bytes alone can tell."""
    rng = np.random.default_rng(start)
    rows = []
    for i in range(start, start + count):
        good, bad = f"Yes {i}!", f"Well {i * 3}."
        label = "a" if rng.random() >= flip else "b"
        rows.append(
            {
                "prompt": f"Item {i * 7919}: {i}?",
                "response_a": good,
                "response_b": bad,
                "label": label,
                "topic": "xy"[i % 2],
            }
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_it_learns_saves_and_scores_alike(tmp_path, tiny_base):
    data = write_data(tmp_path / "d.jsonl")
    lines = []
    trained = train(data, tmp_path / "rm", base=str(tiny_base), say=lines.append, dtype="float32")
    report = trained.report
    assert report.numbers["accuracy"].value > 0.9
    assert report.numbers["log-loss"].value < 0.5
    assert "refitted on all 240 pairs" in report.facts["saved head"]
    assert "plaudit score" in report.next_command
    assert any("at most about" in line for line in lines)
    model = plaudit.load(str(tmp_path / "rm"), "float32")
    layer = model.contract["layer"]
    assert len(model.backbone.layers) == layer
    good, bad = (
        plaudit.as_conversation("New?", "Sure!"),
        plaudit.as_conversation("New?", "Perhaps."),
    )
    scores = model.score([good, bad])
    assert scores.mean[0] > scores.mean[1]
    assert scores.difference(0, 1).std > 0
    assert np.allclose(trained.model.score([good, bad]).mean, scores.mean, atol=1e-3)
    evaluated = plaudit.evaluate(model, data)
    assert evaluated.numbers["accuracy"].value > 0.9
    saved = json.loads((tmp_path / "rm" / "report.json").read_text())
    assert saved["held_out"]["accuracy"]["value"] == pytest.approx(report.numbers["accuracy"].value)


def test_50_more_labels_compute_50_more(tmp_path, tiny_base, monkeypatch):
    first = write_data(tmp_path / "a.jsonl")
    more = write_data(tmp_path / "b.jsonl", 50, start=5000)
    config = TrainConfig(base=str(tiny_base), layer="3", dtype="float32")
    train(first, None, config)
    lines = []
    train([first, more], None, config, say=lines.append)
    assert any(line.startswith("100 conversations to run (480 cached)") for line in lines)


def test_a_refit_goes_straight_to_the_layers_that_the_pilot_left(tmp_path, tiny_base, monkeypatch):
    first = write_data(tmp_path / "a.jsonl", 600, flip=0.3)
    more = write_data(tmp_path / "b.jsonl", 30, start=5000)
    train(first, None, base=str(tiny_base), dtype="float32")
    lines = []
    refitted = train([first, more], None, base=str(tiny_base), dtype="float32", say=lines.append)
    assert any(line.startswith("a pilot on nearly these pairs") for line in lines)
    assert any(line.startswith("60 conversations to run (1,200 cached)") for line in lines)
    monkeypatch.setenv("PLAUDIT_FEATURES", str(tmp_path / "fresh"))
    whole = train([first, more], None, base=str(tiny_base), dtype="float32")
    assert refitted.report.facts["base"] == whole.report.facts["base"]
    assert refitted.report.numbers["log-loss"].value == pytest.approx(
        whole.report.numbers["log-loss"].value, abs=1e-3
    )


def test_a_verdict_stands_while_pairs_and_labels_are_nearly_the_same(tmp_path):
    pairs = [str(i) for i in range(100)]
    assert earlier_verdict(tmp_path, pairs) is None
    keep_verdict(tmp_path, pairs, 24)
    assert earlier_verdict(tmp_path, [*pairs, "new"]) == 24
    assert earlier_verdict(tmp_path, [f"relabelled {i}" for i in range(100)]) is None
    assert earlier_verdict(tmp_path, pairs[:50]) is None
    assert earlier_verdict(tmp_path, [*pairs, *(f"new {i}" for i in range(20))]) is None


def test_the_held_out_numbers_are_of_prompts_never_trained_on(tmp_path, tiny_base):
    """Random labels: any leak would show as an accuracy above chance."""
    data = write_data(tmp_path / "d.jsonl", 400, flip=0.5)
    report = train(data, None, base=str(tiny_base), dtype="float32").report
    interval = report.numbers["accuracy"]
    assert interval.low < 0.5 < interval.high + 0.1
    held = write_data(tmp_path / "t.jsonl", 60, start=9000)
    tested = train(data, None, base=str(tiny_base), test=held, dtype="float32").report
    assert tested.numbers["accuracy"].n == 60
    assert "very head measured" in tested.facts["saved head"]


def test_bad_settings_and_data_stop_before_the_base_is_loaded(tmp_path):
    none = "no-such-base/none"
    with pytest.raises(UsageError, match="--layer must be auto, last or a number"):
        train("x", None, base=none, layer="top")
    with pytest.raises(DataError, match="no such file"):
        train(str(tmp_path / "none.jsonl"), None, base=none)
    few = write_data(tmp_path / "few.jsonl", 5)
    with pytest.raises(DataError, match="at least 20 pairs over 10 prompts"):
        train(few, None, base=none)
    data = write_data(tmp_path / "d.jsonl", 60)
    with pytest.raises(DataError, match="60 prompts in both train and test"):
        train(data, None, base=none, test=data)


def test_the_sample_data_keeps_its_promises():
    from plaudit.data import pairs_of, read
    from plaudit.data.check import DataCheck

    doctor = DataCheck()
    pairs = pairs_of(doctor.watch(read(str(SUPPORT_DESK))))
    facts = doctor.findings().facts
    assert len(pairs) >= 400
    assert facts["prompts"] >= 120
    assert facts["the longer response wins"].value < 0.58
    assert facts["bag of words, held out"].value < 0.75
    assert not [p for p in pairs if "password" in str(p.a.messages + p.b.messages).lower()]


# ---------------------------------------------------------------- choosing, on made features


def made(n=400, d=20, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=d)
    x = rng.normal(size=(n, d))
    p = (rng.random(n) < sigmoid(x @ truth)).astype(float)
    noise = {1: 3.0, 2: 0.0, 3: 0.4, 4: 3.0}
    layers = {k: x + s * rng.normal(size=x.shape) for k, s in noise.items()}
    return layers, labels(p, np.ones(n), np.array([f"g{i}" for i in range(n)])), truth


def test_the_best_layer_is_chosen_and_the_noisy_top_given_up():
    layers, given, truth = made()
    choice = choose(layers.__getitem__, list(layers), given)
    assert choice.layer in (2, 3)
    assert highest_contender(choice, given) == 3
    head = fit(layers[2], given, PRIOR_STDS[7], 1.0)
    assert np.corrcoef(head.weight, truth)[0, 1] > 0.9


def test_the_temperature_scales_weight_and_posterior_alike():
    layers, given, _ = made()
    one, two = fit(layers[2], given, 1.0, 1.0), fit(layers[2], given, 1.0, 2.0)
    assert np.allclose(one.weight, 2 * two.weight)
    assert np.allclose(one.factor, 2 * two.factor)


def test_a_portion_of_few_large_groups_holds_them_all():
    groups = [f"debate {i % 3}" for i in range(900)]
    order = shuffled(groups)
    assert sorted(order.tolist()) == list(range(900))
    shares = [sum(groups[i] == f"debate {k}" for i in order[:300]) / 300 for k in range(3)]
    assert min(shares) > 0.2
    small = [f"prompt {i // 3}" for i in range(90)]
    placed = [small[i] for i in shuffled(small)]
    assert all(len(set(placed[i : i + 3])) == 1 for i in range(0, 90, 3))


def test_small_pieces():
    assert list(portions(300)) == [300]
    assert list(portions(1700)) == [400, 800, 1600, 1700]
    assert candidate_layers(30)[-1] == 30
    assert candidate_layers(30)[0] >= 6
    assert candidate_layers(4) == [1, 2, 3, 4]
    assert smoothed([1.0, 0.0, 1.0]).tolist() == [0.75, 0.5, 0.75]
