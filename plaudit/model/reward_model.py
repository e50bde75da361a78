"""RewardModel: backbone, bias-free linear head, Renderer; and the ranking loss.

The class of the field's tutorials, done right: the score is read at the last real token,
whatever the padding side, and never at position -1 of a padded batch.

Shapes: B conversations, T tokens, d the backbone's width, N conversations, R posterior rank.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from plaudit.errors import ModelError
from plaudit.model.backbone import decoder_of, final_norm, layers_of
from plaudit.model.classifier import PairRenderer
from plaudit.model.engine import Engine
from plaudit.model.loading import Checkpoint, open_checkpoint
from plaudit.model.renderer import Renderer
from plaudit.model.scoring import Posterior, linear_scores
from plaudit.model.writer import save
from plaudit.scoring_api import Scoring
from plaudit.types import Conversation, Scores


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


class RewardModel(Scoring, nn.Module):
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
        self.notes: tuple[str, ...] = ()
        self.engine = Engine(self.backbone)

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
            final_norm(self.backbone).requires_grad_(True)
        return self

    def score_conversations(self, conversations: Sequence[Conversation]) -> Scores:
        """Raw scores in input order, by the packed pass; with `std` where a posterior is known."""
        weight = self.head.weight[0]
        return linear_scores(self.engine, weight, self._renderer(), conversations, self.posterior)

    @property
    def how(self) -> str:
        """The precision and the pass that scores are computed with, in words."""
        exact = self.engine.dtype == torch.float32
        dtype = str(self.engine.dtype).removeprefix("torch.")
        rounding = "" if exact else " (float32 is exact on every machine: --dtype float32)"
        return f"{dtype}{rounding} on {self.engine.device}; {self.engine.packing}"

    def render(self, conversations: Sequence[Conversation]) -> dict[str, Tensor]:
        """`input_ids` and `attention_mask` [B, T] of conversations, padded right, for forward."""
        renderer = self._renderer()
        ids = [rendered.ids for rendered in renderer.render(conversations)]
        batch = renderer.tokenizer.pad({"input_ids": ids}, return_tensors="pt")
        return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}

    def save_pretrained(self, folder: str | Path) -> None:
        """Write an ordinary XForSequenceClassification folder and its contract."""
        self._renderer()
        save(self, Path(folder))

    @classmethod
    def from_pretrained(
        cls, folder: str | Path, dtype: Any = None, device: str = "auto"
    ) -> RewardModel:
        """Load a folder or hub id, verified against its contract; see `plaudit.load`."""
        return cls.of(open_checkpoint(str(folder), dtype, device=device))

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> RewardModel:
        """The model of an opened checkpoint; raises ModelError where it pools by its own head."""
        renderer = checkpoint.renderer
        if (
            checkpoint.engine is None
            or checkpoint.head is None
            or isinstance(renderer, PairRenderer)
        ):
            name = type(checkpoint.classifier).__name__
            raise ModelError(f"{name} has a pooling head of its own; use plaudit.load to score")
        model = cls(checkpoint.engine.backbone, renderer=renderer)
        model.notes = checkpoint.notes
        model.engine = checkpoint.engine
        model.head.weight.data = checkpoint.head.to(model.engine.device)
        model.posterior, model.contract = checkpoint.posterior, checkpoint.contract
        return model.eval()

    def _renderer(self) -> Renderer:
        if self.renderer is None:
            raise ModelError(
                "this RewardModel has no renderer: give one, "
                "RewardModel(base, renderer=Renderer.of(tokenizer, max_length))"
            )
        return self.renderer
