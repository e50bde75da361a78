"""The packed pass: replies share their prompt's tokens, and nothing is padded.

One attention function is registered with transformers' AttentionInterface, so the model stays
transformers' own and every decoder family that uses the interface works unpatched. A row
(`tree.Row`) travels as a keyword argument of the model's forward; each segment attends to its
ancestors and to itself.

Shapes: N tokens of a row, H heads, K key-value heads, G = H / K, D a head's width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from plaudit.model.tree import Ids, Row, Segment, pack

__all__ = ["ROW_TOKENS", "hidden_states", "packed_hidden", "plain_hidden"]

ATTENTION = "plaudit_packed"
# Small rows stay in the processor's cache: measured 4 to 8 % faster than 2,048 and 4,096.
ROW_TOKENS = 1024
# Keys of a segment are padded to a multiple of this, the width of a vector register: torch's
# softmax sums the rest of a row in another order, and so a score would depend, by its
# rounding, on where its row ends. With it, scores in bfloat16 are the same bits in any batch.
KEYS_MULTIPLE = 32


class _Layout:
    """A Row laid out for attention: the keys and the mask of each segment, made once."""

    def __init__(self, row: Row, dtype: torch.dtype, device: torch.device) -> None:
        self.row = row
        self.keys = [self._seen_by(segment).to(device) for segment in row.segments]
        self._dtype, self._device = dtype, device
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    @staticmethod
    def _seen_by(segment: Segment) -> Tensor:
        """Row positions [T] of a segment's ancestors and its own tokens, padded by its last one."""
        ranges = (*segment.context, (segment.start, segment.stop))
        positions = torch.cat([torch.arange(start, stop) for start, stop in ranges])
        padding = positions.new_full((-len(positions) % KEYS_MULTIPLE,), segment.stop - 1)
        return torch.cat([positions, padding])

    def mask(self, number: int, window: int | None) -> Tensor:
        """Additive mask [S, T] of a segment: causal, within the window, blind to the padding."""
        if (number, window) not in self._masks:
            segment = self.row.segments[number]
            size = segment.stop - segment.start
            query = torch.arange(segment.depth, segment.depth + size)[:, None]
            key = torch.arange(len(self.keys[number]))[None, :]
            hidden = key > query
            if window is not None:
                hidden |= query - key >= window
            mask = torch.zeros(hidden.shape, dtype=self._dtype).masked_fill_(hidden, -torch.inf)
            self._masks[number, window] = mask.to(self._device)
        return self._masks[number, window]


def _attend_packed(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    packed_layout: _Layout | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of one row: query [1, H, N, D], key and value [1, K, N, D] to [1, N, H, D]."""
    if packed_layout is None:
        raise RuntimeError("the packed attention was called without a row")
    heads, total, width = query.shape[1:]
    groups = key.shape[1]
    query = query * (width**-0.5 if scaling is None else scaling)
    query = query.view(groups, heads // groups, total, width)
    out = query.new_empty(total, groups, heads // groups, value.shape[-1])
    for number, segment in enumerate(packed_layout.row.segments):
        seen = packed_layout.keys[number]
        attended = _attend(
            query[:, :, segment.start : segment.stop],
            key[0].index_select(1, seen),
            value[0].index_select(1, seen),
            packed_layout.mask(number, sliding_window),
            softcap,
        )
        out[segment.start : segment.stop] = attended.permute(2, 0, 1, 3)
    return out.view(1, total, heads, -1), None


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, softcap: float | None) -> Tensor:
    """Attention of scaled queries [K, G, S, D] to keys and values [K, T, D], mask [S, T].

    Two plain products where logits are capped (Gemma 2, 2408.00118), and in bfloat16 on the
    processor: torch's fused kernel takes longer there, and its result depends on the batch.
    """
    groups, heads, size, _ = q.shape
    if softcap is None and not (q.dtype == torch.bfloat16 and q.device.type == "cpu"):
        k, v = (x[:, None].expand(-1, heads, -1, -1) for x in (k, v))
        return scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    logits = torch.bmm(q.flatten(1, 2), k.transpose(1, 2)).view(groups, heads, size, -1)
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    weights = torch.softmax(logits.add_(mask), dim=-1)
    return torch.bmm(weights.flatten(1, 2), v).view(groups, heads, size, -1)


AttentionInterface.register(ATTENTION, _attend_packed)


@contextmanager
def _attention(backbone: nn.Module, name: str) -> Iterator[None]:
    config: Any = backbone.config
    before = config._attn_implementation
    config._attn_implementation = name
    try:
        yield
    finally:
        config._attn_implementation = before


class _Taps:
    """Keeps, of the layers asked for, the hidden states at the scored positions only."""

    def __init__(self, backbone: nn.Module, wanted: Sequence[int]) -> None:
        layers: Any = getattr(backbone, "layers", None)
        if layers is None:
            layers = getattr(backbone, "h", None) or backbone.blocks
        self.rows: Tensor | None = None
        self.kept: dict[int, Tensor] = {}
        self._handles = [
            layers[number - 1].register_forward_hook(self._keep(number)) for number in wanted
        ]

    def _keep(self, number: int) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            self.kept[number] = hidden[0, self.rows]

        return hook

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


@torch.inference_mode()
def packed_hidden(
    backbone: nn.Module, sequences: Sequence[Ids], layers: Sequence[int], budget: int = ROW_TOKENS
) -> Iterator[tuple[Row, Tensor]]:
    """Run rows of distinct sequences; yield each row and [sequences, layers, d] hidden states.

    `layers` count from 1 and are taken before the final norm. The backbone runs all its
    layers: cut it first (`reward_model.cut`) where the upper ones are not wanted.
    """
    taps = _Taps(backbone, layers)
    weight = next(backbone.parameters())
    try:
        with _attention(backbone, ATTENTION):
            for row in pack(sequences, budget):
                taps.rows = torch.from_numpy(row.scored).to(weight.device)
                backbone(
                    input_ids=torch.from_numpy(row.ids)[None].to(weight.device),
                    position_ids=torch.from_numpy(row.positions)[None].to(weight.device),
                    use_cache=False,
                    packed_layout=_Layout(row, weight.dtype, weight.device),
                )
                yield row, torch.stack([taps.kept[number] for number in layers], dim=1)
    finally:
        taps.remove()


@torch.inference_mode()
def plain_hidden(
    backbone: nn.Module, sequences: Sequence[Ids], layers: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    """One unpadded forward a sequence: the reference, and the path of what cannot be packed."""
    taps = _Taps(backbone, layers)
    device = next(backbone.parameters()).device
    try:
        for index, ids in enumerate(sequences):
            taps.rows = torch.tensor([len(ids) - 1], device=device)
            backbone(input_ids=torch.from_numpy(ids)[None].to(device), use_cache=False)
            yield index, torch.cat([taps.kept[number] for number in layers])[None]
    finally:
        taps.remove()


def hidden_states(
    backbone: nn.Module, sequences: Sequence[Ids], layers: Sequence[int], packed: bool
) -> Iterator[tuple[list[int], Tensor]]:
    """Indices and hidden states [indices, layers, d], by the packed or the plain path."""
    if packed:
        for row, hidden in packed_hidden(backbone, sequences, layers):
            yield list(row.sequences), hidden
    else:
        for index, hidden in plain_hidden(backbone, sequences, layers):
            yield [index], hidden


def branching_ids(vocabulary: int, length: int, seed: int = 0) -> list[Ids]:
    """Random sequences that branch at several depths, for the self-check."""
    random = np.random.default_rng(seed)

    def new(size: int) -> Ids:
        return random.integers(0, vocabulary, size)

    system = new(18)
    prompts = [np.concatenate([system, new(size)]) for size in (20, length)]
    replies = [np.concatenate([prompt, new(size)]) for prompt in prompts for size in (5, 12)]
    return [*replies, np.concatenate([replies[0], new(14)]), new(20)]
