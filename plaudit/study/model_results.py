"""Which model is better, as people have judged it: what `export` and the owner's pages say.

What counts is what exports take: standing votes and imported labels of comparisons that are not
gold, each person's once, and an owner's resolution in their place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from plaudit.statistics.bradley_terry import sigmoid
from plaudit.statistics.intervals import Interval
from plaudit.statistics.model_comparison import Games, standings
from plaudit.study import judgment_table as codes
from plaudit.study import schema as s
from plaudit.study.judgment_table import Integers, JudgmentTable, Mask

PART = 5_000


@dataclass(frozen=True)
class ModelResult:
    """One model: how often it was judged and how it came out; intervals are by prompt group.

    `wins`, `losses` and `ties` count judgments, and `win_rate` is of these, ties counting half;
    `both_bad` are beside them. `score` is Bradley-Terry's in log odds, 0 the mean of the models
    that comparisons link (`linked` numbers them); `adjusted` is the score at equal length.
    """

    model: str
    comparisons: int
    judgments: int
    wins: float
    losses: float
    ties: int
    both_bad: int
    win_rate: Interval
    score: Interval
    adjusted: Interval
    linked: int


@dataclass(frozen=True)
class ModelResults:
    """Every model, the best score first, and what the results rest on."""

    models: Sequence[ModelResult] = ()
    comparisons: int = 0
    judgments: int = 0
    unknown: int = 0  # judgments of a response whose model is not known
    same: int = 0  # … of two responses of one model

    @property
    def sentence(self) -> str:
        """The answer for people: "Bot v2 wins 58 % [49, 67] …"; empty with nothing to say."""
        known = [each for each in self.models if each.win_rate.n]
        if not known:
            return ""
        best = known[0]
        if len(known) == 2 and known[0].linked == known[1].linked:
            clear = best.win_rate.low > 0.5
            found = f"{best.model} wins {_percent(best.win_rate)} against {known[1].model}"
            value, low, high = sigmoid(2 * np.array(best.adjusted[:3])).tolist()
            found += f"; at equal length {_percent(Interval(value, low, high, 0, 0))}"
        else:
            clear = all(best.score.low > other.score.high for other in known[1:])
            found = f"{best.model} is ahead of {len(known) - 1} others"
            found += f", with a win rate of {_percent(best.win_rate)}"
        doubt = "" if clear else "; no clear winner: the difference may be chance"
        if len({each.linked for each in known}) > 1:
            doubt += "; some models were never compared with some others, even indirectly"
        return found + doubt

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it; intervals as value, low, high, n and groups, NaN as None."""

        def plain(value: Any) -> Any:
            if isinstance(value, Interval):
                return {name: plain(each) for name, each in value._asdict().items()}
            if isinstance(value, float):
                return round(value, 6) if np.isfinite(value) else None
            return value

        rows = [
            {name: plain(getattr(each, name)) for name in ModelResult.__dataclass_fields__}
            for each in self.models
        ]
        counts = {k: v for k, v in asdict(self).items() if k != "models"}
        return {"sentence": self.sentence, **counts, "models": rows}


def _percent(share: Interval) -> str:
    value, low, high = (100 * float(part) for part in share[:3])
    return f"{value:.0f} % [{low:.0f}, {high:.0f}]"


def model_results(
    db: Connection, table: JudgmentTable | None = None, keep: Mask | None = None
) -> ModelResults:
    """How the study's models compare.

    `table` is one that has been refreshed, where there is one; `keep` [J] says which of its
    judgments count, all that stand when None.
    """
    if table is None:
        table = JudgmentTable()
        table.refresh(db)
    judged = _counted(table, table.stands if keep is None else keep)
    rows = table.rows[judged]
    facts = table.facts(rows["comparison"])
    authors = _authors(db, np.unique([facts["response_a"], facts["response_b"]]))
    names = sorted({name for each in authors.values() for name in each})
    number = {name: index for index, name in enumerate(names)}
    games: list[tuple[int, int, int]] = []
    used: list[int] = []
    unknown = same = 0
    ends = zip(facts["response_a"].tolist(), facts["response_b"].tolist(), strict=True)
    for at, (one, other) in enumerate(ends):
        a, b = authors.get(one, ()), authors.get(other, ())
        pairs = [(number[m], number[n]) for m in a for n in b if m not in b and n not in a]
        if pairs:
            games += [(len(used), m, n) for m, n in pairs]
            used.append(at)
        elif a and b:
            same += 1
        else:
            unknown += 1
    if not games:
        return ModelResults(unknown=unknown, same=same)
    rows, facts = rows[used], facts[used]
    answers = {codes.A: 1.0, codes.B: 0.0, codes.TIE: 0.5, codes.BOTH_BAD: np.nan}
    said = np.array([answers[code] for code in rows["answer"].tolist()])
    ratio = np.maximum(facts["a_characters"], 1) / np.maximum(facts["b_characters"], 1)
    judgment, first, second = np.array(games, dtype=np.int64).T
    p = np.where(np.isnan(rows["p"]), said, rows["p"])
    found = standings(Games(judgment, first, second, p, facts["group"], np.log(ratio)), len(names))
    asked = [
        len(np.unique(rows["comparison"][judgment[(first == m) | (second == m)]]))
        for m in range(len(names))
    ]
    models = [
        ModelResult(name, asked[m], *found[m]) for m, name in enumerate(names) if found[m].judgments
    ]
    models.sort(key=lambda each: (each.linked, -np.nan_to_num(each.score.value), each.model))
    return ModelResults(models, len(np.unique(rows["comparison"])), len(rows), unknown, same)


def _counted(table: JudgmentTable, stands: Mask) -> Mask:
    """[J] votes and labels for a side, a tie or both bad; resolutions where there is one."""
    rows = table.rows
    stands = stands & (rows["answer"] <= codes.BOTH_BAD) & ~table.gold
    votes = table.one_per_person(stands & np.isin(rows["kind"], (codes.VOTE, codes.IMPORTED)))
    resolution = stands & (rows["kind"] == codes.RESOLUTION)
    resolved = np.isin(rows["comparison"], rows["comparison"][resolution])
    result: Mask = resolution | (votes & ~resolved)
    return result


def _authors(db: Connection, responses: Integers) -> dict[int, tuple[str, ...]]:
    """The models that wrote each response, of those that are known."""
    found: dict[int, tuple[str, ...]] = {}
    o = s.origin.c
    for start in range(0, len(responses), PART):
        part = responses[start : start + PART]
        query = select(o.response, o.model).where(o.response.between(int(part[0]), int(part[-1])))
        for response, model in db.execute(query):
            found[response] = tuple(dict.fromkeys((*found.get(response, ()), model)))
    return found
