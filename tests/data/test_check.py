"""Planted faults of every kind are found, each with its place."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from plaudit.data import read
from plaudit.data.check import DataCheck
from plaudit.errors import DataError, ModelError
from plaudit.types import Message, Slate, Source

from ..conftest import byte_tokenizer


def rows(count, start=0):
    return [
        {
            "prompt": f"Question number {i}: how does thing {i * 7919} work in detail number {i * 31}?",
            "response_a": f"It works like this {i}.",
            "response_b": f"No idea about it {i}, sorry.",
            "label": "a" if i % 2 else "b",
        }
        for i in range(start, start + count)
    ]


def findings(tmp_path, train, test=(), check=None):
    check = check or DataCheck()
    for which, data in (("train", train), ("test", test)):
        if data:
            path = tmp_path / f"{which}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in data))
            list(check.watch(read(str(path)), which))
    return check.findings()


def counts(result):
    return {finding.name: finding.count for finding in result.found}


def test_clean_data_is_clean(tmp_path):
    result = findings(tmp_path, rows(50))
    assert counts(result) == {}
    assert result.ok


def planted():
    base = rows(60)
    longest = "Tell me a long story about " + " ".join(f"item{k}" for k in range(40))
    one = {**base[0], "prompt": longest}
    messages = [{"role": "user", "content": "a b c"}, {"role": "user", "content": "d e f"}]
    return {
        "identical responses": [{**base[1], "prompt": "p1", "response_b": base[1]["response_a"]}],
        "empty responses": [{**base[2], "prompt": "p2", "response_a": "  "}],
        "duplicate judgments": [base[3]],
        "contradictory judgments": [{**base[4], "label": "a" if base[4]["label"] == "b" else "b"}],
        "near-duplicate prompts": [one, {**one, "prompt": longest + " please"}],
        "malformed messages": [{**base[5], "prompt": messages}],
        "rows without a label": [{**base[6], "prompt": "p6", "label": None}],
        "rows judged both bad or skipped": [{**base[7], "prompt": "p7", "label": "both_bad"}],
        "unreadable rows": [{**base[8], "prompt": "p8", "label": "purple"}],
    }


@pytest.mark.parametrize("name", list(planted()))
def test_a_planted_fault_is_found_with_its_place(tmp_path, name):
    result = findings(tmp_path, rows(60) + planted()[name])
    assert counts(result) == {name: 1}
    found = result.found[0]
    assert "train.jsonl:" in found.examples[0]
    assert found.what_to_do


def test_leaks_between_train_and_test_are_fatal(tmp_path):
    leaked = rows(30)[5]
    long = {**leaked, "prompt": " ".join(f"word{k}" for k in range(60))}
    near = {**long, "prompt": long["prompt"] + " more"}
    result = findings(tmp_path, [*rows(30), long], [*rows(10, 100), leaked, near])
    assert counts(result) == {
        "prompts in both train and test": 1,
        "near-duplicates across train and test": 1,
    }
    assert not result.ok
    with pytest.raises(DataError, match=r"prompts in both train and test: .*train.jsonl:6 and"):
        result.raise_if_fatal()


def test_many_unusable_rows_are_fatal(tmp_path):
    bad = [{**row, "label": "?"} for row in rows(10, 100)]
    result = findings(tmp_path, rows(50) + bad)
    assert result.fatal == ["10 of 60 rows (17%) are unusable"]


def test_opposite_votes_on_one_comparison_contradict_whatever_side_is_a(tmp_path):
    row = {"prompt": "p1", "response_a": "one thing", "response_b": "quite another"}
    swapped = {"prompt": "p1", "response_a": "quite another", "response_b": "one thing"}
    train = [
        {**row, "votes_a": 3, "votes_b": 0},
        {**swapped, "votes_a": 2, "votes_b": 1},  # the other one wins
        {**swapped, "p": 0.2},  # the first one wins again
    ]
    assert counts(findings(tmp_path, rows(60) + train)) == {
        "contradictory judgments": 1,
        "duplicate judgments": 1,
    }


def test_a_row_with_only_p_has_a_label(tmp_path):
    row = {"prompt": "p1", "response_a": "one thing", "response_b": "quite another", "p": 0.7}
    result = findings(tmp_path, [*rows(60), row])
    assert counts(result) == {}
    assert result.facts["pairs"] == 61


def slate(prompt, responses, **label):
    answers = tuple((Message("assistant", text),) for text in responses)
    return Slate((Message("user", prompt),), answers, Source("f", 1), **label)


def test_ranked_responses_repeated_in_another_order_are_duplicates():
    check = DataCheck()
    first = slate("p", ["one", "two", "three"], ranks=(1, 2, 3))
    again = slate("p", ["three", "one"], ranks=(2, 1))
    alone = slate("another", ["one"], ratings=(3.0,))
    list(check.watch([first, again, alone]))
    assert counts(check.findings()) == {"duplicate judgments": 1, "rows with only one response": 1}
    assert check.findings().facts["pairs"] == 4


def test_an_empty_response_that_wins_is_named(tmp_path):
    row = {"prompt": "p1", "response_a": "", "response_b": "a word", "label": "a"}
    assert counts(findings(tmp_path, [*rows(60), row])) == {
        "empty responses": 1,
        "empty responses preferred": 1,
    }


def test_without_any_label_there_is_nothing_to_train_on(tmp_path):
    result = findings(tmp_path, [{**row, "label": None} for row in rows(30)])
    assert result.fatal == ["no comparison has a label: there is nothing to train on"]


def test_prompts_without_words_are_not_all_the_same(tmp_path):
    train = [{**row, "prompt": "?" * (i + 1)} for i, row in enumerate(rows(12))]
    test = [{**row, "prompt": "!" * (i + 1)} for i, row in enumerate(rows(12))]
    assert findings(tmp_path, train, test).facts["prompts"] == 24
    assert findings(tmp_path, train, test).ok


def test_tool_calls_are_content(tmp_path):
    call = {"function": {"name": "weather", "arguments": {"town": "Bern"}}}
    other = {"function": {"name": "weather", "arguments": {"town": "Basel"}}}
    prompt = (
        Message("user", "Which one is it?"),
        Message("assistant", "", {"tool_calls": [call]}),
        Message("tool", "rain"),
    )
    answers = tuple((Message("assistant", "", {"tool_calls": [c]}),) for c in (call, other))
    check = DataCheck()
    list(check.watch([Slate(prompt, answers, Source("f", 1), preferred=(0,), verdict="preferred")]))
    assert check.findings().found == []


def test_what_the_template_takes_away_is_not_blamed_on_the_length(tmp_path):
    from plaudit.model import Renderer

    strips = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + "
        "m['content'].split('</think>')[-1] + '<|im_end|>' }}{% endfor %}"
    )
    renderer = Renderer.of(byte_tokenizer(strips), max_length=2048)
    lost = [
        {
            "prompt": f"What is {i} times 12, and how do you know?",
            "response_a": f"<think>{12 * i}</think>Done.",
            "response_b": "<think>a guess</think>Done.",
            "label": "a",
        }
        for i in range(20)
    ]
    result = findings(tmp_path, rows(100) + lost, check=DataCheck(renderer.render_each))
    assert counts(result) == {"identical once rendered": 20}
    assert "chat template or tokenizer takes the difference away" in result.found[0].what_to_do
    assert result.fatal == ["20 of 120 rows (17%) are unusable"]


@pytest.mark.parametrize(
    ("shown", "one", "two"),
    [
        ("m['content'] | trim", {"content": "Yes."}, {"content": " Yes. "}),
        ("m['content'] | lower", {"content": "YES"}, {"content": "yes"}),
    ],
)
def test_whatever_the_template_does_not_show_is_named(shown, one, two):
    from plaudit.model import Renderer

    template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}{{ "
        + shown
        + " }}{{ '<|im_end|>' }}{% endfor %}"
    )
    check = DataCheck(Renderer.of(byte_tokenizer(template), max_length=2048).render_each)
    responses = tuple((Message("assistant", **side),) for side in (one, two))
    row = Slate((Message("user", "What now?"),), responses, Source("f", 1), preferred=(0,))
    list(check.watch([row]))
    assert counts(check.findings()) == {"identical once rendered": 1}


def test_a_row_that_the_template_refuses_is_named_and_costs_no_other():
    from plaudit.model import Renderer

    check = DataCheck(Renderer.of(byte_tokenizer(), max_length=2048).render_each)
    call = Message("assistant", "", {"tool_calls": [{"function": {"name": "open"}}]})
    row = Slate(
        (Message("user", "Now?"),), ((call,), (Message("assistant", "No"),)), Source("f", 7), (0,)
    )
    list(check.watch([row, slate("p", ["one", "two"], preferred=(0,))]))
    (found,) = check.findings().found
    assert (found.name, found.count) == ("refused by the chat template", 1)
    assert found.examples[0].startswith("f:7: the chat template does not show tool_calls")
    assert check.findings().facts["tokens"] > 0


def test_with_a_renderer_cuts_and_special_tokens_are_found(tmp_path):
    from plaudit.model import Renderer

    renderer = Renderer.of(byte_tokenizer(), max_length=64)
    same_end = "x" * 100
    train = rows(30)
    train += [
        {"prompt": "cut", "response_a": "a" + same_end, "response_b": "b" + same_end, "label": "a"},
        {"prompt": "sp", "response_a": "one<|im_end|>", "response_b": "two", "label": "a"},
    ]
    result = findings(tmp_path, train, check=DataCheck(renderer.render_each, ["<|im_end|>"]))
    found = counts(result)
    assert found["identical once cut to --max-length"] == 1
    assert found["special tokens in text"] == 1
    assert found["cut to --max-length"] == 31
    assert result.facts["tokens"] > 0


def test_biases_and_the_words_baseline_are_measured(tmp_path):
    train = rows(200)
    for i, row in enumerate(train):
        row["response_b"] = "short"
        row["response_a"] = "a rather longer response than the other"
        row["label"] = "a" if i % 10 else "b"
    result = findings(tmp_path, train)
    facts = result.facts
    # A file whose longer response always wins must not read as sound.
    assert counts(result) == {
        "labels that length predicts": 200,
        "labels that position predicts": 200,
    }
    assert result.found[0].examples[0].startswith("the longer response wins 0.9")
    assert facts["the longer response wins"].value == pytest.approx(0.9)
    assert facts["the first response wins"].value == pytest.approx(0.9)
    assert facts["bag of words, held out"].value == pytest.approx(0.9, abs=0.01)


def test_rows_that_the_template_refuses_are_named_and_the_others_checked():
    def render(conversations):
        refusal = ModelError("the chat template refuses the messages (system, user, assistant)")
        return [
            refusal
            if any(message.role == "system" for message in c.messages)
            else SimpleNamespace(
                ids=np.frombuffer(c.messages[-1].text.encode(), np.uint8), truncated=0
            )
            for c in conversations
        ]

    rows = [{"prompt": f"item {i * 7919}", "chosen": "yes", "rejected": "no"} for i in range(20)]
    rows[4]["system"] = "Be kind."
    check = DataCheck(render)
    assert len(list(check.watch(read(rows)))) == 20
    report = check.findings()
    (refused,) = [f for f in report.found if f.name == "refused by the chat template"]
    assert (report.ok, report.unusable, refused.count) == (True, 1, 1)
    assert "5: the chat template refuses the messages (system" in refused.examples[0]
