"""From conversations to Scores: rendered once each, scored in any order, given in input order.

Shapes: N conversations, d the backbone's width, R posterior rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plaudit.errors import ModelError
from plaudit.model.engine import Engine
from plaudit.model.prefix_tree import Ids
from plaudit.model.renderer import Renderer
from plaudit.types import Conversation, Scores

# Scores distinct token sequences in any order: (indices, scores, posterior factors or None).
ScoreIds = Callable[[Sequence[Ids]], Iterator[tuple[list[int], Any, Any]]]


@dataclass(frozen=True)
class Posterior:
    """Laplace posterior of the head: covariance `factor @ factor.T`, and the training mean.

    `factor` [d, R]; `center` [d], the mean feature of the training conversations.
    """

    factor: Tensor
    center: Tensor

    def factors(self, features_Nd: Tensor) -> Tensor:
        """[N, R]: dot products of its rows are covariances of scores."""
        device = features_Nd.device
        return (features_Nd - self.center.to(device)) @ self.factor.to(device)

    def tensors(self) -> dict[str, Tensor]:
        """The posterior as it is saved."""
        return {"factor": self.factor.cpu().contiguous(), "center": self.center.cpu()}


def score_conversations(
    engine: Engine,
    head_d: Tensor,
    renderer: Renderer,
    conversations: Sequence[Conversation],
    posterior: Posterior | None = None,
) -> Scores:
    """Raw scores of a linear head on an engine's features, computed in float32."""
    head = head_d.detach().float().to(engine.device)

    def run(sequences: Sequence[Ids]) -> Iterator[tuple[list[int], Any, Any]]:
        for indices, values in engine.features(sequences):
            rows = values[:, -1]
            factors = None if posterior is None else posterior.factors(rows).cpu().numpy()
            yield indices, (rows @ head).double().cpu().numpy(), factors

    with torch.inference_mode():
        return score_rendered(renderer, conversations, run)


def score_rendered(
    renderer: Renderer, conversations: Sequence[Conversation], run: ScoreIds
) -> Scores:
    """Scores in input order from `run`, which scores distinct token sequences in any order.

    `run(sequences)` yields (indices, scores, posterior factors or None).
    """
    mean = np.full(len(conversations), np.nan)
    problems: dict[int, str] = {}
    members: dict[bytes, list[int]] = {}
    sequences: list[Ids] = []
    for index, rendered in enumerate(_render_each(renderer, conversations, problems)):
        if rendered is not None:
            key = rendered.tobytes()
            if key not in members:
                sequences.append(rendered)
            members.setdefault(key, []).append(index)
    rows: np.ndarray | None = None
    for indices, scores, factors in run(sequences):
        for position, index in enumerate(indices):
            places = members[sequences[index].tobytes()]
            if np.isfinite(scores[position]):
                mean[places] = scores[position]
            else:
                problems.update(dict.fromkeys(places, "the model's score is not finite"))
            if factors is not None:
                if rows is None:
                    rows = np.zeros((len(conversations), factors.shape[1]), np.float32)
                rows[places] = factors[position]
    std = None
    if rows is not None:
        std = np.linalg.norm(rows.astype(np.float64), axis=1)
        std[np.isnan(mean)] = np.nan
    return Scores(mean, std, problems, rows)


def _render_each(
    renderer: Renderer, conversations: Sequence[Conversation], problems: dict[int, str]
) -> list[Ids | None]:
    """Ids of each conversation; where a template refuses one, None and the reason."""
    try:
        return [rendered.ids for rendered in renderer.render(conversations)]
    except ModelError:
        pass
    found: list[Ids | None] = []
    for index, conversation in enumerate(conversations):
        try:
            found.append(renderer.render([conversation])[0].ids)
        except ModelError as error:
            problems[index] = str(error)
            found.append(None)
    return found
