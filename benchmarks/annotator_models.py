"""Annotator models on votes they have not seen, and on simulated annotators.

python benchmarks/annotator_models.py convincing_arguments_votes.jsonl.gz [--seeds 5] [--json OUT]
python benchmarks/annotator_models.py --speed 1000000

Of every item one vote, drawn at random, is hidden; the models see the others (or 1, 2 or 3 of
them) and predict it, as the vote of an average annotator and as that annotator's. The competence
in the data is never read: it was computed from all votes, the hidden ones too.
"""

import argparse
import gzip
import json
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from dawid_skene import fit_dawid_skene

from plaudit.statistics.aggregation import MODELS as EXPORTED
from plaudit.statistics.agreement import agreement
from plaudit.statistics.intervals import cluster_bootstrap
from plaudit.statistics.ordinal_bradley_terry import EFFECTS, fit_ordinal_bradley_terry
from plaudit.statistics.votes import TIE, Votes

MODELS = {
    **EXPORTED,
    "dawid_skene": fit_dawid_skene,
    "dawid_skene_ties": partial(fit_dawid_skene, classes=3),
}
BASELINE = "vote_share"
WITHOUT_LENGTH = tuple(name for name in EFFECTS if name != "length")
ABLATIONS = {
    "comparison_scores, annotators alike": partial(
        fit_ordinal_bradley_terry, responses=False, effects=()
    ),
    "comparison_scores, no length": partial(
        fit_ordinal_bradley_terry, responses=False, effects=WITHOUT_LENGTH
    ),
    "response_scores, annotators alike": partial(fit_ordinal_bradley_terry, effects=()),
    "response_scores, no length": partial(fit_ordinal_bradley_terry, effects=WITHOUT_LENGTH),
}
CURVE = ("majority", "vote_share", "dawid_skene_ties", "comparison_scores", "response_scores")


class Losses(NamedTuple):
    """One value a hidden vote."""

    average: np.ndarray  # log-loss of the three outcomes, for an average annotator
    own: np.ndarray  # … for the annotator who cast it
    soft: np.ndarray  # cross-entropy of p, the exported label, against 1, 0 or ½
    hit: np.ndarray  # the likeliest of three outcomes, for that annotator
    strict: np.ndarray  # the likelier side, by p; NaN where the vote is a tie


def load(path: Path) -> Votes:
    """The workers' votes; the argument named a is A1, which they saw first."""
    debates, responses, workers, rows = {}, {}, {}, []
    group, ends, length = [], [], []
    with gzip.open(path, "rt") as file:
        for item, line in enumerate(file):
            row = json.loads(line)
            a, b = row["response_a"], row["response_b"]
            group.append(debates.setdefault(row["subset"].split("_")[0], len(debates)))
            ends.append(
                [responses.setdefault((row["subset"], text), len(responses)) for text in (a, b)]
            )
            length.append(np.log(len(a) / len(b)))
            for vote in row["annotations"]:
                worker = workers.setdefault(vote["annotator"], len(workers))
                rows.append((item, worker, {"a": 1, "b": -1, "tie": 0}[vote["label"]]))
    item, annotator, value = np.array(rows).T
    return Votes(
        item, annotator, value, np.ones(len(rows), dtype=np.int8),
        np.array(group), len(workers), np.array(length), np.array(ends),
    )  # fmt: skip


def hide(votes: Votes, remaining: int, seed: int) -> tuple[Votes, Votes]:
    """One random vote of each item hidden, `remaining` of its others kept."""
    order = np.random.default_rng(seed).permutation(len(votes))
    order = order[np.argsort(votes.item[order], kind="stable")]
    first = np.searchsorted(votes.item[order], votes.item[order])
    rank = np.arange(len(order)) - first
    return votes.select(order[(rank > 0) & (rank <= remaining)]), votes.select(order[rank == 0])


def losses(model, hidden: Votes) -> Losses:
    outcome, row = hidden.outcome, np.arange(len(hidden))
    average = model.predict(hidden.item, None, hidden.side)
    own = model.predict(hidden.item, hidden.annotator, hidden.side)
    p, target = model.p[hidden.item], (np.sign(hidden.value) + 1) / 2
    right = np.where(p == 0.5, 0.5, (p > 0.5) == (hidden.value > 0))
    return Losses(
        -np.log(average[row, outcome]),
        -np.log(own[row, outcome]),
        -target * np.log(p) - (1 - target) * np.log(1 - p),
        (own.argmax(axis=1) == outcome).astype(float),
        np.where(outcome == TIE, np.nan, right),
    )


def measure(votes: Votes, models: dict, remaining: int, seeds: int) -> dict:
    """Each model's mean losses with intervals by group, and their difference to the vote share."""
    found: dict[str, list[Losses]] = {name: [] for name in models}
    groups, seconds = [], dict.fromkeys(models, 0.0)
    for seed in range(seeds):
        seen, hidden = hide(votes, remaining, seed)
        groups.append(votes.group[hidden.item])
        for name, fit in models.items():
            started = time.perf_counter()
            model = fit(seen)
            seconds[name] += time.perf_counter() - started
            found[name].append(losses(model, hidden))
    group = np.concatenate(groups)
    joined = {n: Losses(*map(np.concatenate, zip(*f, strict=True))) for n, f in found.items()}
    result = {}
    for name, mine in joined.items():
        figures = {
            field: interval(values, group)
            for field, values in zip(Losses._fields, mine, strict=True)
        }
        for field in ("average", "own", "soft"):
            gain = getattr(mine, field) - getattr(joined[BASELINE], field)
            figures[f"{field}_minus_{BASELINE}"] = interval(gain, group)
        result[name] = figures | {"seconds": seconds[name] / seeds}
    return result


def interval(values: np.ndarray, group: np.ndarray) -> list[float]:
    known = np.isfinite(values)
    found = cluster_bootstrap(values[known], group[known])
    return [round(x, 4) for x in found[:3]]


def simulate(kind: str, seed: int, items: int = 2000, overlap: int = 4, count: int = 30):
    """Votes whose θ is known; 'spammers': a fifth vote at random, the rest differ in skill and side."""
    rng = np.random.default_rng(seed)
    theta = 1.5 * rng.normal(size=items)
    skill, bias, cut = np.ones(count), np.zeros(count), np.full(count, 0.6)
    if kind == "spammers":
        skill, bias = np.exp(0.5 * rng.normal(size=count)), 0.6 * rng.normal(size=count)
        skill[: count // 5] = 0.0
    item = np.repeat(np.arange(items), overlap)
    annotator = np.argsort(rng.random((items, count)), axis=1)[:, :overlap].ravel()
    side = rng.choice([-1, 1], len(item))
    draw = rng.logistic(size=len(item)) + skill[annotator] * theta[item] + bias[annotator] * side
    value = np.where(draw > cut[annotator], 1, np.where(draw < -cut[annotator], -1, 0))
    return Votes(item, annotator, value, side, np.arange(items), count), theta


def simulations(seeds: int) -> dict:
    """Held-out losses as above, and how often p lies on the true side of ½. No response is shared."""
    result = {}
    for kind in ("spammers", "alike"):
        models = {name: fit for name, fit in MODELS.items() if name != "response_scores"}
        rows: dict[str, list[np.ndarray]] = {name: [] for name in models}
        for seed in range(seeds):
            votes, theta = simulate(kind, seed)
            seen, hidden = hide(votes, 3, seed)
            for name, fit in models.items():
                model = fit(seen)
                found = losses(model, hidden)
                true = np.where(model.p == 0.5, 0.5, (model.p > 0.5) == (theta > 0))
                rows[name].append(np.stack([found.average, found.own, true]))
        joined = {name: np.concatenate(parts, axis=1) for name, parts in rows.items()}
        every = np.arange(joined[BASELINE].shape[1])
        result[kind] = {
            name: {
                "average": interval(mine[0], every),
                "own": interval(mine[1], every),
                f"own_minus_{BASELINE}": interval(mine[1] - joined[BASELINE][1], every),
                "true_side": interval(mine[2], every),
                f"true_side_minus_{BASELINE}": interval(mine[2] - joined[BASELINE][2], every),
            }
            for name, mine in joined.items()
        }
    return result


def crowd(count: int) -> Votes:
    """Graded votes of 200 annotators on the six pairs of four responses a prompt, 2.5 votes a pair."""
    rng = np.random.default_rng(0)
    prompts = int(count / 15)
    pairs = np.stack(np.triu_indices(4, 1), axis=1)
    responses = (pairs + 4 * np.arange(prompts)[:, None, None]).reshape(-1, 2)
    theta = np.subtract(*rng.normal(size=4 * prompts)[responses].T)
    theta = theta + 0.5 * rng.normal(size=len(responses))
    item, annotator = rng.integers(0, len(responses), count), rng.integers(0, 200, count)
    side, skill, bias = rng.choice([-1, 1], count), rng.normal(size=200), rng.normal(size=200)
    eta = np.exp(0.5 * skill)[annotator] * theta[item] + 0.4 * bias[annotator] * side
    value = np.digitize(eta + rng.logistic(size=count), [-2, -1, -0.4, 0.4, 1, 2]) - 3
    group, length = np.repeat(np.arange(prompts), 6), rng.normal(size=len(responses))
    return Votes(item, annotator, value, side, group, 200, length, responses)


def speed(count: int) -> None:
    votes = crowd(count)
    for name, function in {"agreement": agreement, **MODELS}.items():
        started = time.perf_counter()
        function(votes)
        print(f"{count:,} votes, {name}: {time.perf_counter() - started:.1f} s", flush=True)


def show(title: str, table: dict, columns: tuple[str, ...]) -> None:
    print(
        f"\n{title}\n| model | "
        + " | ".join(columns)
        + " |\n|---" * 1
        + "|---" * len(columns)
        + "|"
    )
    for name, figures in table.items():
        cells = ("{:.3f} [{:.3f}, {:.3f}]".format(*figures[column]) for column in columns)
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--speed", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.speed:
        return speed(arguments.speed)
    if arguments.data is None or not arguments.data.exists():
        raise SystemExit(f"{arguments.data}: not found; the votes are not part of plaudit")
    votes = load(arguments.data)
    people = agreement(votes)
    for name, figure in people._asdict().items():
        print(f"{name}: {figure}")
    gain = f"own_minus_{BASELINE}"
    held_out = measure(votes, MODELS | ABLATIONS, 4, arguments.seeds)
    show("all other votes seen", held_out, Losses._fields)
    show("difference", held_out, (f"average_minus_{BASELINE}", gain, f"soft_minus_{BASELINE}"))
    result = {"votes": len(votes), "items": votes.items, "annotators": votes.annotators}
    result |= {"agreement": people._asdict()}
    result |= {"held_out": held_out, "remaining": {}, "simulated": simulations(arguments.seeds)}
    for remaining in (1, 2, 3):
        table = measure(votes, {name: MODELS[name] for name in CURVE}, remaining, arguments.seeds)
        show(f"{remaining} other votes seen", table, ("average", "own", "soft", "strict", gain))
        result["remaining"][remaining] = table
    for kind, table in result["simulated"].items():
        show(f"simulated, {kind}", table, tuple(next(iter(table.values()))))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
