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
from plaudit.model.renderer import Rendered, Renderer
from plaudit.types import Conversation, Scores

# Scores distinct inputs in any order: (indices, scores, posterior factors or None).
ScoreIds = Callable[[Sequence[Rendered]], Iterator[tuple[list[int], Any, Any]]]


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


def linear_scores(
    engine: Engine,
    head_d: Tensor,
    renderer: Renderer,
    conversations: Sequence[Conversation],
    posterior: Posterior | None = None,
) -> Scores:
    """Raw scores of a linear head on an engine's features, computed in float32."""
    head = head_d.detach().float().to(engine.device)

    def run(inputs: Sequence[Rendered]) -> Iterator[tuple[list[int], Any, Any]]:
        for indices, values in engine.features([one.ids for one in inputs]):
            rows = values[:, -1]
            factors = None if posterior is None else posterior.factors(rows).cpu().numpy()
            yield indices, (rows @ head).double().cpu().numpy(), factors

    with torch.inference_mode():
        return score_rendered(renderer.render_each(conversations), run)


def score_rendered(rendered: Sequence[Rendered | ModelError], run: ScoreIds) -> Scores:
    """Scores in the order of `rendered`, from `run`, which scores distinct ids in any order.

    What could not be rendered, and a score that is not finite, has its reason in `problems`;
    what was cut to fit or left out is said in `notes`.
    """
    mean = np.full(len(rendered), np.nan)
    problems: dict[int, str] = {}
    notes: dict[int, str] = {}
    members: dict[bytes, list[int]] = {}
    inputs: list[Rendered] = []
    for index, one in enumerate(rendered):
        if isinstance(one, ModelError):
            problems[index] = str(one)
            continue
        if one.notes:
            notes[index] = one.notes
        if one.key not in members:
            inputs.append(one)
        members.setdefault(one.key, []).append(index)
    rows: np.ndarray | None = None
    for indices, scores, factors in run(inputs):
        for position, index in enumerate(indices):
            places = members[inputs[index].key]
            if np.isfinite(scores[position]):
                mean[places] = scores[position]
            else:
                problems.update(dict.fromkeys(places, "the model's score is not finite"))
            if factors is not None:
                if rows is None:
                    rows = np.zeros((len(rendered), factors.shape[1]), np.float32)
                rows[places] = factors[position]
    std = None
    if rows is not None:
        std = np.linalg.norm(rows.astype(np.float64), axis=1)
        std[np.isnan(mean)] = np.nan
    return Scores(mean, std, problems, rows, notes)
