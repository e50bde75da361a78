"""Scores of distinct conversations, a chunk at a time so that progress can be shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from plaudit.evaluation.metrics import Floats
from plaudit.types import Conversation, Pair, Scorer, Slate

Progress = Callable[[int, int], None]
CHUNK = 512


class ScoreTable:
    """Scores by conversation id; the reasons of those that have none; notes on the others."""

    def __init__(self) -> None:
        self.mean: dict[str, float] = {}
        self.length: dict[str, int] = {}
        self.problems: dict[str, str] = {}
        self.notes: dict[str, str] = {}

    def knows(self, pair: Pair) -> bool:
        return pair.a.id in self.mean and pair.b.id in self.mean

    def margins(self, pairs: Sequence[Pair]) -> Floats:
        return np.array([self.mean[pair.a.id] - self.mean[pair.b.id] for pair in pairs])

    def of(self, slate: Slate) -> Floats:
        """A score for each response, NaN where there is none."""
        ids = [slate.conversation(index).id for index in range(len(slate.responses))]
        return np.array([self.mean.get(each, np.nan) for each in ids])

    def score_length(self) -> tuple[Floats, Floats]:
        """Characters and score of every response."""
        lengths = np.array([self.length[each] for each in self.mean], dtype=np.float64)
        return lengths, np.array(list(self.mean.values()))


def score_all(
    scorer: Scorer, slates: Iterable[Slate], progress: Progress | None = None
) -> ScoreTable:
    """Score every distinct conversation of slates once."""
    found: dict[str, Conversation] = {}
    for slate in slates:
        for index in range(len(slate.responses)):
            conversation = slate.conversation(index)
            found.setdefault(conversation.id, conversation)
    conversations, table = list(found.values()), ScoreTable()
    for start in range(0, len(conversations), CHUNK):
        chunk = conversations[start : start + CHUNK]
        scores = scorer.score(chunk)
        for index, conversation in enumerate(chunk):
            if not np.isfinite(scores.mean[index]):
                reason = scores.problems.get(index, "its score is not finite")
                table.problems[conversation.id] = reason
                continue
            table.mean[conversation.id] = float(scores.mean[index])
            table.length[conversation.id] = len(conversation.messages[-1].text)
            if index in scores.notes:
                table.notes[conversation.id] = scores.notes[index]
        if progress is not None:
            progress(min(start + CHUNK, len(conversations)), len(conversations))
    return table
