"""The model card (README.md) of a saved model's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plaudit.evaluation.report import Report
from plaudit.statistics.intervals import Interval
from plaudit.version import __version__

HUB_NAMES = {"smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
TABLE = (
    ("accuracy", "accuracy"),
    ("log-loss", "log-loss (0.693 = chance)"),
    ("longer wins", "accuracy of the length baseline"),
    ("bag of words accuracy", "accuracy of words alone"),
    ("bag of words log-loss", "log-loss of words alone"),
)
CARD = """\
---
library_name: transformers
pipeline_tag: text-classification
tags: [reward-model, plaudit]
{front}---

# Reward model on {base}

Scores how good a response to a prompt is; a higher score is better, and only differences of
scores to one prompt mean something: σ(score a − score b) is the probability that people prefer a.
A linear head on the frozen first {layer} layers of the base, made with plaudit {version}.

## Training data

{pairs:,} comparisons over {prompts:,} prompts (SHA-256 of them and their labels:
`{sha256}`). {dropped}

## Held-out numbers

{held_out}. With 95 % intervals by prompt:

| | value | 95 % interval | pairs |
|---|---|---|---|
{table}

{warnings}## Use

```python
import plaudit

scorer = plaudit.load(".")  # this folder; checks it against plaudit.json
print(scorer.score([plaudit.as_conversation("a prompt", "a response")]).mean)
```

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
model = AutoModelForSequenceClassification.from_pretrained(".")
messages = [
    {{"role": "user", "content": "a prompt"}},
    {{"role": "assistant", "content": "a response"}},
]
ids = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)
print(model(**ids).logits[0, 0])  # the raw score: no sigmoid
```

- vLLM: `vllm serve . --runner pooling --convert classify`
- TRL: `GRPOTrainer(reward_funcs="this folder", ...)`, or `plaudit.reward_function("this folder")`,
  which gives None, never 0, where a response cannot be scored.

## Limits

- It knows what its comparisons taught it: other topics, languages and much longer texts are
  outside of it. `plaudit evaluate` measures it on your own comparisons.
- A policy trained against it will find what it gets wrong: watch length and style, and collect
  new comparisons of what the policy writes.
- Conversations are read up to {max_length:,} tokens.

## Licence

The weights derive from {base}, whose licence applies to them.
The comparisons were given by whoever trained this model; say here under which terms.
"""


def model_card(report: Report, contract: Mapping[str, Any], prompts: int, max_length: int) -> str:
    """README.md of a saved model: what it is, on what data, how good, how to load, its limits."""
    given = HUB_NAMES.get(contract["base"], contract["base"])
    on_hub = given.count("/") == 1 and not Path(given).exists()
    base = given if on_hub else Path(given).name
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in report.dropped.items())
    return CARD.format(
        front=f"base_model: {base}\n" if on_hub else "",
        base=base,
        version=__version__,
        layer=contract["layer"],
        pairs=contract["data"]["pairs"],
        prompts=prompts,
        sha256=contract["data"]["sha256"],
        dropped=f"Left out: {dropped}." if dropped else "Nothing was left out.",
        held_out=report.facts["held out"],
        table="\n".join(_row(report.numbers[name], label) for name, label in TABLE),
        warnings="".join(f"- {line}\n" for line in report.warnings) + "\n" * bool(report.warnings),
        max_length=max_length,
    )


def _row(value: Interval | float, label: str) -> str:
    if not isinstance(value, Interval):
        return f"| {label} | {value:.3f} | | |"
    return f"| {label} | {value.value:.3f} | {value.low:.3f} to {value.high:.3f} | {value.n:,} |"
