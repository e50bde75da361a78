"""How many votes a pair, at equal numbers of votes: through `add`, `export` and `train`.

    python benchmarks/overlap.py convincing_arguments_votes.jsonl.gz [--seeds 40] [--json OUT]

UKPConvArg1 has about five votes of named workers on each pair. For each seed three of the twelve
debates are held out; of the others pairs are drawn, and of each pair as many of its votes as the
arm asks for. The votes go into an empty study as a raw export does (`add`), come out as pairs with
the default model of the annotators (`export`), and train a head on the frozen base (`train`), which
is measured on the held-out debates against their majorities. Every arm has 900 votes. Features are
computed in the first run and cached; --threads bounds torch.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import t as student

from plaudit import training
from plaudit.study import Study
from plaudit.types import Comparison, as_messages, messages_id

HELD_OUT = 3  # debates of twelve
Row = dict[str, Any]


class Arm(NamedTuple):
    """So many pairs with one vote, and so many with several."""

    name: str
    pairs: int
    votes: int
    more_pairs: int = 0
    more_votes: int = 0


ARMS = (
    Arm("900 pairs, 1 vote each", 900, 1),
    Arm("300 pairs, 3 votes each", 300, 3),
    Arm("180 pairs, 5 votes each", 180, 5),
    Arm("810 pairs at 1, 30 at 3: a tenth of the votes", 810, 1, 30, 3),
    Arm("675 pairs at 1, 75 at 3: the default, a tenth of the pairs", 675, 1, 75, 3),
)


def load(path: Path) -> dict[str, list[Row]]:
    """Rows by debate: pairs of different texts, each once, with five votes of five workers."""
    debates: dict[str, list[Row]] = {}
    seen: set[tuple[str, ...]] = set()
    with gzip.open(path, "rt") as file:
        for line in file:
            row = json.loads(line)
            texts = row["response_a"].strip(), row["response_b"].strip()
            pair = (row["subset"], *sorted(texts))
            workers = {vote["annotator"] for vote in row["annotations"]}
            if len(workers) >= 5 and texts[0] != texts[1] and pair not in seen:
                seen.add(pair)
                debates.setdefault(row["subset"].split("_")[0], []).append(row)
    return debates


def raw_row(row: Row, votes: int, rng: np.random.Generator) -> Row:
    """A row of a raw export, with some of the votes, in the store's own orientation."""
    a, b = (as_messages([("assistant", row[f"response_{side}"])]) for side in "ab")
    turned = messages_id(a) > messages_id(b)
    other = {"a": "b", "b": "a", "tie": "tie"} if turned else {"a": "a", "b": "b", "tie": "tie"}
    prompt = as_messages(row["prompt"])
    drawn = rng.choice(len(row["annotations"]), votes, replace=False)
    sides = (b, a) if turned else (a, b)
    comparison = Comparison(prompt, *sides)
    said = [row["annotations"][index] for index in drawn]
    return {
        "hash": comparison.id,
        "prompt": row["prompt"],
        **{f"response_{s}": [m.to_dict() for m in text] for s, text in zip("ab", sides, strict=True)},
        "judgments": [
            {
                "key": f"{comparison.id}-{vote['annotator']}",
                "kind": "vote",
                "answer": other[vote["label"]],
                # The argument named a is the one that the workers saw first.
                "left": "b" if turned else "a",
                "annotator": vote["annotator"],
                "created_at": 1.0,
            }
            for vote in said
        ],
    }  # fmt: skip


def write(path: Path, rows: list[Row]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def accuracy(arm: Arm, debates: dict[str, list[Row]], seed: int, options: Any) -> Row:
    """One arm of one seed: what `train` reports of the held-out debates."""
    rng = np.random.default_rng(seed)  # the same debates and the same first pairs in every arm
    names = sorted(debates)
    held = {names[index] for index in rng.choice(len(names), HELD_OUT, replace=False)}
    pool = [row for name in names if name not in held for row in debates[name]]
    order = rng.permutation(len(pool))
    test = [row for name in sorted(held) for row in debates[name] if row["label"] in ("a", "b")]
    test = [test[index] for index in rng.permutation(len(test))[: options.test_pairs]]
    chosen = [pool[index] for index in order[: arm.pairs + arm.more_pairs]]
    counts = [arm.votes] * arm.pairs + [arm.more_votes] * arm.more_pairs
    rows = [raw_row(row, count, rng) for row, count in zip(chosen, counts, strict=True)]
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stderr(io.StringIO()):
        folder = Path(scratch)
        with Study(folder / "study.db") as study:
            added = study.add(write(folder / "raw.jsonl", rows))
            exported = study.export(folder / "out")
        assert (added.comparisons, added.labels) == (len(rows), sum(counts)), added
        plain = [
            {k: row[k] for k in ("prompt", "response_a", "response_b", "label")} for row in test
        ]
        trained = training.train(
            str(folder / "out" / "train.jsonl"),
            test=write(folder / "test.jsonl", plain),
            base=options.base,
            layer=options.layer,
            refit=False,
        )
    report = trained.report
    return {
        "votes": exported.judgments,
        "pairs": exported.files["train.jsonl"],
        "accuracy": report["accuracy"].value,
        "log_loss": report["log-loss"].value,
        "n": report["accuracy"].n,
    }


def interval(values: np.ndarray) -> list[float]:
    """Mean with its 95 % interval over seeds (Student's t)."""
    mean, n = float(values.mean()), len(values)
    half = float(student.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else np.nan
    return [round(x, 4) for x in (mean, mean - half, mean + half)]


def summary(found: dict[str, list[Row]]) -> list[Row]:
    first = next(iter(found.values()))
    rows = []
    for name, runs in found.items():
        values, base = (np.array([run["accuracy"] for run in each]) for each in (runs, first))
        rows.append(
            {
                "arm": name,
                "votes": float(np.mean([run["votes"] for run in runs])),
                "pairs": float(np.mean([run["pairs"] for run in runs])),
                "accuracy": interval(values),
                "difference": interval(values - base),
                "log_loss": interval(np.array([run["log_loss"] for run in runs])),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--test-pairs", type=int, default=1500)
    parser.add_argument("--base", default="smollm2")
    parser.add_argument("--layer", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    debates = load(options.data)
    found: dict[str, list[Row]] = {arm.name: [] for arm in ARMS}
    for seed in range(options.seeds):
        started = time.perf_counter()
        for arm in ARMS:
            found[arm.name].append(accuracy(arm, debates, seed, options))
        means = " ".join(f"{runs[-1]['accuracy']:.4f}" for runs in found.values())
        print(f"seed {seed}: {means} ({time.perf_counter() - started:.0f} s)", flush=True)
        rows = summary(found)
        if options.json:  # after each seed, so that a run that is ended loses nothing
            result = {"seeds": seed + 1, "arms": rows, "runs": found}
            options.json.write_text(json.dumps(result, indent=2) + "\n")
    print(f"\n{'arm':60} {'accuracy':24} {'difference to the first':26}")
    for row in rows:
        value, low, high = row["accuracy"]
        by, least, most = row["difference"]
        print(
            f"{row['arm']:60} {value:.4f} [{low:.4f}, {high:.4f}]  {by:+.4f} [{least:+.4f}, {most:+.4f}]"
        )


if __name__ == "__main__":
    main()
