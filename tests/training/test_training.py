"""The whole of `train` on a small random base: data in, model out, numbers held out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import plaudit
from plaudit import train
from plaudit.config import TrainConfig
from plaudit.data import pairs_of
from plaudit.data.split import prompt_folds
from plaudit.errors import DataError, ModelError, UsageError
from plaudit.samples import SUPPORT_DESK
from plaudit.statistics.bradley_terry import sigmoid
from plaudit.statistics.calibration import temperature
from plaudit.training.frozen.head import (
    PRIOR_STDS,
    Selection,
    fit,
    labels,
    select,
    select_each,
    smoothed,
    weights,
)
from plaudit.training.frozen.layer_search import (
    candidate_layers,
    earlier_search,
    highest_contender,
    keep_search,
    portions,
    shuffled,
)
from plaudit.types import Pair, Source

from ..conftest import byte_tokenizer, talk

TURNS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
STRICT = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
THINK = TURNS.replace("m['content'] |", "m['content'].split('</think>')[-1] |")


def base_with_template(base, folder, template):
    shutil.copytree(base, folder)
    (folder / "chat_template.jinja").write_text(template)
    return str(folder)


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
    assert "fitted on all 240 pairs" in report.facts["saved head"]
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


def test_a_refit_goes_straight_to_the_layers_that_the_search_left(tmp_path, tiny_base, monkeypatch):
    first = write_data(tmp_path / "a.jsonl", 600, flip=0.3)
    more = write_data(tmp_path / "b.jsonl", 30, start=5000)
    train(first, None, base=str(tiny_base), dtype="float32", test_share=0.2)
    lines = []
    refitted = train(
        [first, more], None, base=str(tiny_base), dtype="float32", test_share=0.2, say=lines.append
    )
    assert any(line.startswith("an earlier search on nearly the same pairs") for line in lines)
    assert any(line.startswith("60 conversations to run (1,200 cached)") for line in lines)
    monkeypatch.setenv("PLAUDIT_FEATURES", str(tmp_path / "fresh"))
    whole = train([first, more], None, base=str(tiny_base), dtype="float32", test_share=0.2)
    assert refitted.report.facts["base"] == whole.report.facts["base"]
    assert refitted.report.numbers["log-loss"].value == pytest.approx(
        whole.report.numbers["log-loss"].value, abs=1e-3
    )


def test_a_verdict_stands_while_pairs_and_labels_are_nearly_the_same(tmp_path):
    pairs = [str(i) for i in range(100)]
    assert earlier_search(tmp_path, pairs) is None
    keep_search(tmp_path, pairs, 24)
    assert earlier_search(tmp_path, [*pairs, "new"]) == 24
    assert earlier_search(tmp_path, [f"relabelled {i}" for i in range(100)]) is None
    assert earlier_search(tmp_path, pairs[:50]) is None
    assert earlier_search(tmp_path, [*pairs, *(f"new {i}" for i in range(20))]) is None


def test_the_held_out_numbers_are_of_prompts_never_trained_on(tmp_path, tiny_base):
    """Random labels: any leak would show as an accuracy above chance."""
    data = write_data(tmp_path / "d.jsonl", 400, flip=0.5)
    report = train(data, None, base=str(tiny_base), dtype="float32").report
    interval = report.numbers["accuracy"]
    assert interval.low < 0.5 < interval.high + 0.1
    held = write_data(tmp_path / "t.jsonl", 60, start=9000)
    tested = train(data, None, base=str(tiny_base), test=held, dtype="float32").report
    assert tested.numbers["accuracy"].n == 60
    assert "the head measured" in tested.facts["saved head"]


def test_small_data_is_measured_by_folds_and_beside_words(tmp_path, tiny_base):
    data = write_data(tmp_path / "d.jsonl", flip=0.1)
    base = {"base": str(tiny_base), "dtype": "float32"}
    report = train(data, None, **base).report
    assert report.numbers["accuracy"].n == 240  # every pair is held out once
    assert report.facts["held out"].startswith("5-fold cross-validation, 240 pairs")
    assert {"bag of words accuracy", "bag of words log-loss"} <= report.numbers.keys()
    assert "against bag of words" in report.verdict
    assert {curve.title for curve in report.curves} == {"More labels", "Layers"}
    one = train(data, None, test_share=0.25, **base).report
    assert 20 < one.numbers["accuracy"].n < 120
    assert one.numbers["bag of words accuracy"].n == one.numbers["accuracy"].n
    assert "the head measured" in train(data, None, refit=False, **base).report.facts["saved head"]


def test_folds_keep_like_prompts_together_whatever_the_order():
    stem = "the parcel from the shop in the old town has not come after nine days of waiting"
    texts = [f"{stem} {'indeed ' * (i % 2)}" for i in range(10)]
    texts += [f"question {i * 7919} about {i * 104729}" for i in range(40)]
    pairs = [
        Pair(talk(text, "a"), talk(text, "b"), 1.0, 1.0, f"g{i}", Source("f", i))
        for i, text in enumerate(texts)
    ]
    fold = prompt_folds(pairs, 5)
    assert len(set(fold[:10])) == 1
    assert set(fold) == set(range(5))
    order = np.random.default_rng(0).permutation(len(pairs))
    assert np.array_equal(prompt_folds([pairs[i] for i in order], 5), fold[order])


def test_a_row_that_the_template_refuses_is_named_and_left_out(tmp_path, tiny_base):
    base = base_with_template(tiny_base, tmp_path / "base", STRICT + TURNS)
    data = write_data(tmp_path / "d.jsonl", 60)
    rows = [json.loads(line) for line in Path(data).read_text().splitlines()]
    rows[40]["prompt"] = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "Item?"},
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = train(data, None, base=base, layer="2", dtype="float32").report
    assert report.dropped["cannot be rendered"] == 1
    (said,) = [line for line in report.warnings if "cannot be rendered" in line]
    assert "1 of 60 pairs" in said
    assert "d.jsonl:41" in said
    assert "no system" in said
    for row in rows[:10]:
        row["prompt"] = rows[40]["prompt"]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(
        DataError, match=r"11 of 60 pairs cannot be rendered \(.*d.jsonl:1, .*no system"
    ):
        train(data, None, base=base, layer="2", dtype="float32")


@pytest.mark.parametrize(
    ("template", "responses", "reason"),
    [
        (
            THINK,
            ("<think>\nsum {}\n</think>\nDone.", "<think>\nguess\n</think>\nDone."),
            "</think>",
        ),
        (TURNS, ("Yes {}", "Yes {}  "), "what they differ in"),
    ],
)
def test_what_the_template_takes_away_is_named_as_the_cause(
    tmp_path, tiny_base, template, responses, reason
):
    base = base_with_template(tiny_base, tmp_path / "base", template)
    rows = [
        {"prompt": f"Number {i * 7919}?", "chosen": a.format(i), "rejected": b.format(i)}
        for i, (a, b) in enumerate([responses] * 40)
    ]
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=f"0 usable pairs .*40 more are identical.*{reason}"):
        train(str(path), None, base=base, layer="2", dtype="float32")


@pytest.mark.parametrize("family", ["granite", "cohere", "olmoe"])
def test_a_base_whose_family_has_no_classifier_is_refused_before_the_pass(tmp_path, family):
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = {"vocab_size": 259, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    config = AutoConfig.for_model(family, **shape, **heads, pad_token_id=257, eos_token_id=257)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / family)
    byte_tokenizer().save_pretrained(tmp_path / family)
    data = write_data(tmp_path / "d.jsonl", 60)
    lines = []
    with pytest.raises(ModelError, match="no sequence classifier for"):
        train(data, tmp_path / "rm", base=str(tmp_path / family), say=lines.append)
    assert not any("conversations to run" in line for line in lines)
    assert not (tmp_path / "rm").exists()


def test_separable_labels_get_a_bounded_scale_and_a_warning(tmp_path, tiny_base):
    data = write_data(tmp_path / "d.jsonl", 60)
    trained = train(data, None, base=str(tiny_base), layer="3", dtype="float32")
    pairs = pairs_of(plaudit.read(data))
    scores = trained.model.score([c for pair in pairs for c in (pair.a, pair.b)]).mean
    assert 2 < np.median(np.abs(scores[::2] - scores[1::2])) < 12
    assert any("ordered correctly" in line for line in trained.report.warnings)
    noise = write_data(tmp_path / "n.jsonl", 60, flip=0.5)
    noisy = train(noise, None, base=str(tiny_base), layer="3", dtype="float32").report
    assert not any("ordered correctly" in line for line in noisy.warnings)


@pytest.mark.parametrize(("right", "low"), [(60, 3), (2000, 6), (100_000, 9)])
def test_margins_of_pairs_that_are_all_right_grow_with_the_log_of_their_number(right, low):
    rng = np.random.default_rng(0)
    for size in (0.2, 1.0, 50.0):
        margin = size * (1 + 0.1 * rng.random(right))
        scale = margin / temperature(margin, np.ones(right), np.ones(right))
        assert low < np.median(scale) < low + 4


def test_rows_in_memory_and_columns_by_name(tmp_path, tiny_base):
    rows = [
        {"question": f"Item {i * 7919}?", "x": f"Yes {i}!", "y": f"No {i}.", "won": "x"}
        for i in range(60)
    ]
    columns = {"prompt": "question", "response_a": "x", "response_b": "y", "label": "won"}
    settings = {"base": str(tiny_base), "layer": "2", "dtype": "float32"}
    values = {"x": "a"}
    lines = []
    trained = train(
        iter(rows), None, columns=columns, label_values=values, say=lines.append, **settings
    )
    assert trained.report["accuracy"].n == 60
    assert "prompt = question" in lines[0]
    frame = pytest.importorskip("pandas").DataFrame(rows)
    again = train(frame, None, columns=columns, label_values=values, **settings)
    assert again.report["accuracy"] == trained.report["accuracy"]
    assert list(again.report.to_frame().loc["accuracy"].index[:2]) == ["value", "low"]
    with pytest.raises(UsageError, match="no number 'acc'"):
        trained.report["acc"]
    assert repr(trained).startswith(f"Trained(RewardModel({tiny_base}, 2 layers, scores ")


def test_a_column_of_the_conversation_that_is_not_read_stops_training(tmp_path):
    path = tmp_path / "d.jsonl"
    rows = [{"prompt": f"Item {i}?", "chosen": "Yes", "rejected": "No"} for i in range(60)]
    rows[40]["context"] = "A fact that the response is about."  # later than the first rows
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"column 'context' .* not read .*--columns"):
        train(str(path), None, base="no-such-base/none")


def test_a_wrong_setting_names_those_that_there_are():
    with pytest.raises(UsageError, match="train has no setting epochs, lr; it takes .*base, tune"):
        train("x", None, epochs=3, lr=1)
    for name, value in (("dtype", "int8"), ("test_share", "a"), ("base", ""), ("max_length", 3)):
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} must be .* found"):
            train("x", None, **{name: value})
    assert TrainConfig(layer=3).layer == "3"
    with pytest.raises(UsageError, match=r"columns is text or a mapping, found \['a'\]"):
        train("x", None, columns=["a"])
    with pytest.raises(UsageError, match="not both"):
        train("x", None, TrainConfig(), base="smollm2")


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

    check = DataCheck()
    pairs = pairs_of(check.watch(read(str(SUPPORT_DESK))))
    facts = check.findings().facts
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
    selection = select(layers.__getitem__, list(layers), given)
    assert selection.layer in (2, 3)
    assert highest_contender(selection, given) == 3
    head = fit(layers[2], given, Selection(2, PRIOR_STDS[7], 1.0, ()))
    assert np.corrcoef(head.weight, truth)[0, 1] > 0.9


def test_the_temperature_scales_weight_and_posterior_alike():
    layers, given, _ = made()
    one, two = (fit(layers[2], given, Selection(2, 1.0, t, ())) for t in (1.0, 2.0))
    assert np.allclose(one.weight, 2 * two.weight)
    assert np.allclose(one.factor, 2 * two.factor)


def test_subsets_that_share_a_basis_select_as_each_alone():
    layers, given, _ = made()
    index = np.arange(100, 400)
    part = labels(given.p[index], given.weight[index], given.group[index])
    every = np.arange(len(given.p))
    _, shared = select_each(layers.__getitem__, [1, 2, 3, 4], [(every, given), (index, part)])
    alone = select(lambda layer: layers[layer][index], [1, 2, 3, 4], part)
    assert (shared.layer, shared.prior_std) == (alone.layer, alone.prior_std)
    assert shared.temperature == pytest.approx(alone.temperature, rel=1e-3)
    for one, other in zip(shared.results, alone.results, strict=True):
        assert np.allclose(one.losses, other.losses, atol=1e-4)


def test_fewer_pairs_than_features_give_the_same_optimum():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30, 80))
    given = labels((rng.random(30) < 0.5).astype(float), np.ones(30), np.array([*"abcdef"] * 5))
    chosen = Selection(1, 1.0, 2.0, ())
    assert np.allclose(weights(x, given, chosen), fit(x, given, chosen).weight, atol=1e-8)


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
