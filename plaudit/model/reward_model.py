"""RewardModel: backbone, bias-free linear head, Renderer; and the ranking loss.

The class of the field's tutorials, done right: the score is read at the last real token,
whatever the padding side, and never at position -1 of a padded batch.

Shapes: B conversations, T tokens, d the backbone's width, N conversations, R posterior rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from plaudit.errors import ModelError
from plaudit.model.backbone import SelfCheck, decoder_of, depth, features, layers_of, self_check
from plaudit.model.prefix_tree import Ids
from plaudit.model.renderer import Renderer
from plaudit.types import Conversation, Scores

__all__ = ["Posterior", "RewardModel", "reward_loss", "score_rendered"]


def reward_loss(score_chosen: Tensor, score_rejected: Tensor) -> Tensor:
    """The ranking loss, mean of −log σ(score_chosen − score_rejected).

    Bradley & Terry 1952; InstructGPT (2203.02155) equation 1 with one pair a prompt. Computed
    in float32 through log-sigmoid, so it is finite at differences of ±100 in bfloat16.

    Args:
        score_chosen, score_rejected: [B] scores of the preferred and the other responses.

    Returns: a scalar.

    >>> chosen, rejected = torch.tensor([2.1, 3.4, 1.8]), torch.tensor([0.5, 1.2, 0.9])
    >>> round(reward_loss(chosen, rejected).item(), 4)  # (0.1839 + 0.1051 + 0.3412) / 3
    0.21
    """
    difference = score_chosen.float() - score_rejected.float()
    return -torch.nn.functional.logsigmoid(difference).mean()


@dataclass(frozen=True)
class Posterior:
    """Laplace posterior of the head: covariance `factor @ factor.T`, and the training mean.

    `factor` [d, R]; `center` [d], the mean feature of the training conversations.
    """

    factor: Tensor
    center: Tensor

    def factors(self, features_Nd: Tensor) -> Tensor:
        """[N, R]: dot products of its rows are covariances of scores."""
        return (features_Nd - self.center) @ self.factor


class RewardModel(nn.Module):
    """A scalar reward on top of a language model.

        model = RewardModel(AutoModelForCausalLM.from_pretrained(folder), d_model=576)
        model.freeze()
        loss = reward_loss(model(ids_chosen, mask_chosen), model(ids_rejected, mask_rejected))

    Args:
        base_model: a decoder of transformers, with or without its language-model head.
        d_model: the backbone's width; read from its config when None.
        renderer: from conversations to token ids. Without one the model takes token ids only;
            scoring conversations and saving raise ModelError.
    """

    def __init__(
        self, base_model: Any, d_model: int | None = None, renderer: Renderer | None = None
    ) -> None:
        super().__init__()
        self.backbone = decoder_of(base_model)
        config: Any = self.backbone.config
        width = int(config.hidden_size)
        if d_model is not None and d_model != width:
            raise ModelError(f"d_model is {d_model}, but the backbone's width is {width}")
        self.head = nn.Linear(width, 1, bias=False)
        nn.init.normal_(self.head.weight, std=(width + 1) ** -0.5)
        self.head.to(next(self.backbone.parameters()).device)
        self.renderer = renderer
        self.posterior: Posterior | None = None
        self.contract: dict[str, Any] = {}
        self._self_check: SelfCheck | None = None

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Scores [B] of token ids [B, T], read at each row's last token of mask 1.

        `attention_mask` [B, T] may pad left, right or not at all; None means no padding.
        Position ids count real tokens, so left and right padding give equal scores.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask.long()
        hidden_BTd = self.backbone(
            input_ids=input_ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            use_cache=False,
        ).last_hidden_state
        last_B = (mask * torch.arange(mask.shape[1], device=mask.device)).argmax(dim=1)
        rows_B = torch.arange(len(last_B), device=mask.device)
        scores: Tensor = self.head(hidden_BTd[rows_B, last_B].to(self.head.weight.dtype))
        return scores.squeeze(-1)

    def freeze(self, except_top: int = 0) -> RewardModel:
        """Freeze the backbone wholly, or all but its top `except_top` layers and final norm.

        The head stays trainable. Raises ModelError for more layers than there are.
        """
        layers = layers_of(self.backbone)
        if not 0 <= except_top <= len(layers):
            raise ModelError(f"except_top is {except_top}; allowed are 0 to {len(layers)}")
        self.backbone.requires_grad_(False)
        if except_top:
            layers[len(layers) - except_top :].requires_grad_(True)
            from_norm = [p for n, p in self.backbone.named_parameters() if n.startswith("norm.")]
            for parameter in from_norm:
                parameter.requires_grad_(True)
        return self

    def score(self, conversations: Sequence[Conversation]) -> Scores:
        """Raw scores in input order, by the packed pass; with `std` where a posterior is known."""
        return score_rendered(self._renderer(), conversations, self._score_ids)

    def render(self, conversations: Sequence[Conversation]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` [B, T] of conversations, padded right, for forward."""
        renderer = self._renderer()
        ids = [rendered.ids for rendered in renderer.render(conversations)]
        batch = renderer.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}

    @property
    def packing(self) -> SelfCheck:
        """The packed pass's self-check on this backbone, run once."""
        if self._self_check is None:
            self._self_check = self_check(self.backbone)
        return self._self_check

    @packing.setter
    def packing(self, known: SelfCheck) -> None:
        self._self_check = known

    def save_pretrained(self, folder: str | Path) -> None:
        """Write an ordinary XForSequenceClassification folder and its contract."""
        from plaudit.model.checkpoint import save

        self._renderer()
        save(self, Path(folder))

    @classmethod
    def from_pretrained(cls, folder: str | Path, dtype: Any = None) -> RewardModel:
        """Load a folder or hub id, verified against its contract; see `plaudit.load`."""
        from plaudit.model.checkpoint import load

        model = load(str(folder), dtype)
        if not isinstance(model, cls):
            raise ModelError(f"{folder} has a pooling head of its own; use plaudit.load to score")
        return model

    def _renderer(self) -> Renderer:
        if self.renderer is None:
            raise ModelError(
                "this RewardModel has no renderer: give one, "
                "RewardModel(base, renderer=Renderer.of(tokenizer, max_length))"
            )
        return self.renderer

    @torch.inference_mode()
    def _score_ids(self, sequences: Sequence[Ids]) -> Iterator[tuple[list[int], Any, Any]]:
        head = self.head.weight[0].float()
        self.eval()
        layers = [depth(self.backbone)]
        for indices, values in features(self.backbone, sequences, layers, self.packing.packed):
            rows = values[:, -1]
            factors = None if self.posterior is None else self.posterior.factors(rows).numpy()
            yield indices, (rows @ head).double().numpy(), factors


def score_rendered(renderer: Renderer, conversations: Sequence[Conversation], run: Any) -> Scores:
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
