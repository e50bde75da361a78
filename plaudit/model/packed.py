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


class _Layout:
    """A Row with its masks, made once and read by every layer."""

    def __init__(self, row: Row, dtype: torch.dtype) -> None:
        self.row = row
        self._dtype = dtype
        self._masks: dict[tuple[Segment, int | None], Tensor | None] = {}

    def mask(self, segment: Segment, window: int | None) -> Tensor | None:
        """Additive mask [S, P + S]; None where plain causal attention says the same."""
        key = (segment, window)
        if key not in self._masks:
            self._masks[key] = self._new_mask(segment, window)
        return self._masks[key]

    def _new_mask(self, segment: Segment, window: int | None) -> Tensor | None:
        depth, size = segment.depth, segment.stop - segment.start
        if depth == 0 and (window is None or size <= window):
            return None
        query = torch.arange(depth, depth + size)[:, None]
        key = torch.arange(depth + size)[None, :]
        hidden = key > query
        if window is not None:
            hidden |= query - key >= window
        return torch.zeros(size, depth + size, dtype=self._dtype).masked_fill_(hidden, -torch.inf)


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
    query = query.view(groups, heads // groups, total, width)
    out = query.new_empty(total, heads, value.shape[-1])
    # Measured: torch's fused CPU kernel takes 1.7 times as long as two products in bfloat16.
    explicit = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    for segment in packed_layout.row.segments:
        mask = packed_layout.mask(segment, sliding_window)
        q = query[:, :, segment.start : segment.stop]
        k = _continued(key[0], segment)[:, None].expand(-1, heads // groups, -1, -1)
        v = _continued(value[0], segment)[:, None].expand(-1, heads // groups, -1, -1)
        if softcap is not None or explicit:
            result = _attend_explicitly(q, k, v, mask, scaling, softcap)
        else:
            result = scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=mask is None, scale=scaling
            )
        out[segment.start : segment.stop] = result.flatten(0, 1).transpose(0, 1)
    return out[None], None


def _continued(states: Tensor, segment: Segment) -> Tensor:
    """Keys or values [K, P + S, D] of a segment's ancestors and its own tokens."""
    ranges = segment.context
    if not ranges:
        return states[:, segment.start : segment.stop]
    if len(ranges) == 1 and ranges[0][1] == segment.start:
        return states[:, ranges[0][0] : segment.stop]
    parts = [states[:, start:stop] for start, stop in ranges]
    return torch.cat([*parts, states[:, segment.start : segment.stop]], dim=1)


def _attend_explicitly(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> Tensor:
    """Attention by two products, q [K, G, S, D]; logits may be capped (Gemma 2, 2408.00118)."""
    groups, heads, size, width = q.shape
    keys, values = k[:, 0], v[:, 0]
    scale = width**-0.5 if scaling is None else scaling
    if mask is None:
        mask = torch.full((size, size), -torch.inf, dtype=q.dtype, device=q.device).triu_(1)
    rows = q.reshape(groups, heads * size, width)
    if softcap is None:
        logits = torch.baddbmm(mask.repeat(heads, 1), rows, keys.transpose(1, 2), alpha=scale)
    else:
        capped = softcap * torch.tanh(rows @ keys.transpose(1, 2) * (scale / softcap))
        logits = capped + mask.repeat(heads, 1)
    return torch.bmm(torch.softmax(logits, dim=-1), values).view(groups, heads, size, -1)


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
                    packed_layout=_Layout(row, weight.dtype),
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
