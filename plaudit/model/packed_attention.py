"""Attention of a packed row: responses share their prompt's tokens, and nothing is padded.

One attention function is registered with transformers' AttentionInterface, so the model stays
transformers' own and every decoder family that uses the interface works unpatched. A layout of
the row (`prefix_tree.Row`) travels as a keyword argument of the model's forward; each segment
attends to its ancestors and to itself.

There are two layouts with the same result. Segment by segment, on the processor: two plain
products a segment. As a FlexAttention block mask (2412.05496), on an accelerator, which a loop
over segments would leave idle; FlexAttention has no backward on the processor.

Shapes: N tokens of a row, H heads, K key-value heads, G = H / K, D a head's width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from transformers import AttentionInterface

from plaudit.model.prefix_tree import Row, Segment

ATTENTION = "plaudit_packed"
# Keys of a segment are padded to a multiple of this, the width of a vector register: torch's
# softmax sums the rest of a row in another order, and so a score would depend, by its
# rounding, on where its row ends.
KEYS_MULTIPLE = 32
# Queries attended at a time, to the keys up to the last of them: measured best of 64 to 256.
QUERY_BLOCK = 128


class Kind(NamedTuple):
    """What a layer asks of its attention: scale of the logits, window in tokens, soft cap."""

    scaling: float
    window: int | None = None
    softcap: float | None = None


class Layout(Protocol):
    """A row laid out for attention."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, how: Kind) -> Tensor:
        """[1, H, N, D] queries, [1, K, N, D] keys and values to [1, N, H, D]."""
        ...


class SegmentLayout:
    """Segment by segment: the keys and the mask of each segment, made once."""

    def __init__(self, row: Row, dtype: torch.dtype, device: torch.device) -> None:
        self.segments = row.segments
        self.keys = [_seen_by(segment).to(device) for segment in row.segments]
        self._dtype, self._device = dtype, device
        self._masks: dict[tuple[int, int | None], Tensor] = {}

    def attend(self, query: Tensor, key: Tensor, value: Tensor, how: Kind) -> Tensor:
        heads, total, width = query.shape[1:]
        groups = key.shape[1]
        query = (query * how.scaling).view(groups, heads // groups, total, width)
        out = query.new_empty(total, groups, heads // groups, value.shape[-1])
        for number, segment in enumerate(self.segments):
            seen = self.keys[number]
            k, v = key[0].index_select(1, seen), value[0].index_select(1, seen)
            mask = self._mask(number, how.window)
            size = segment.stop - segment.start
            for first in range(0, size, QUERY_BLOCK):  # later keys are masked: not read at all
                last = min(first + QUERY_BLOCK, size)
                reach = _up_to_multiple(segment.depth + last)
                attended = _attend(
                    query[:, :, segment.start + first : segment.start + last],
                    k[:, :reach],
                    v[:, :reach],
                    mask[first:last, :reach],
                    how.softcap,
                )
                out[segment.start + first : segment.start + last] = attended.permute(2, 0, 1, 3)
        return out.view(1, total, heads, -1)

    def _mask(self, number: int, window: int | None) -> Tensor:
        """Additive mask [S, T] of a segment: causal, within the window, blind to the padding."""
        if (number, window) not in self._masks:
            segment = self.segments[number]
            size = segment.stop - segment.start
            query = torch.arange(segment.depth, segment.depth + size)[:, None]
            key = torch.arange(len(self.keys[number]))[None, :]
            hidden = key > query
            if window is not None:
                hidden |= query - key >= window
            mask = torch.zeros(hidden.shape, dtype=self._dtype).masked_fill_(hidden, -torch.inf)
            self._masks[number, window] = mask.to(self._device)
        return self._masks[number, window]


def _seen_by(segment: Segment) -> Tensor:
    """Row positions [T] of a segment's ancestors and its own tokens, padded by its last one."""
    ranges = (*segment.context, (segment.start, segment.stop))
    positions = torch.cat([torch.arange(start, stop) for start, stop in ranges])
    padding = _up_to_multiple(len(positions)) - len(positions)
    return torch.cat([positions, positions.new_full((padding,), segment.stop - 1)])


def _up_to_multiple(keys: int) -> int:
    return -(-keys // KEYS_MULTIPLE) * KEYS_MULTIPLE


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, softcap: float | None) -> Tensor:
    """Attention of scaled queries [K, G, S, D] to keys and values [K, T, D], mask [S, T].

    Two plain products: torch's fused kernel is slower on these small blocks, its bfloat16
    result depends on the batch, and it cannot cap logits (Gemma 2, 2408.00118).
    """
    groups, heads, size, _ = q.shape
    logits = torch.bmm(q.flatten(1, 2), k.transpose(1, 2)).view(groups, heads, size, -1)
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    weights = torch.softmax(logits.add_(mask), dim=-1)
    return torch.bmm(weights.flatten(1, 2), v).view(groups, heads, size, -1)


class FlexLayout:
    """One FlexAttention call a layer, with a block mask made from the same tree.

    Rows lie in depth-first order, so a token's descendants are one range: k is seen from q
    where k <= q < closes[k].
    """

    def __init__(self, row: Row, device: torch.device) -> None:
        self.positions = torch.from_numpy(row.positions).to(device)
        self.closes = torch.from_numpy(row.closes).to(device)
        self._masks: dict[int | None, Any] = {}

    def attend(self, query: Tensor, key: Tensor, value: Tensor, how: Kind) -> Tensor:
        if how.window not in self._masks:
            self._masks[how.window] = self._mask(how.window)
        attended = _flex(query.device.type)(
            query,
            key,
            value,
            score_mod=None if how.softcap is None else _capped(how.softcap),
            block_mask=self._masks[how.window],
            scale=how.scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        result: Tensor = attended.transpose(1, 2).contiguous()
        return result

    def _mask(self, window: int | None) -> Any:
        positions, closes = self.positions, self.closes

        def seen(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
            visible = (k <= q) & (q < closes[k])
            return visible if window is None else visible & (positions[q] - positions[k] < window)

        total = len(positions)
        return create_block_mask(seen, None, None, total, total, device=positions.device)


@cache
def _capped(softcap: float) -> Callable[..., Tensor]:
    def cap(score: Tensor, *_: Tensor) -> Tensor:
        return softcap * torch.tanh(score / softcap)

    return cap


@cache
def _flex(device: str) -> Callable[..., Any]:
    """FlexAttention: compiled where it pays, on an accelerator; eager elsewhere."""
    if device != "cuda":
        return flex_attention
    compiled: Callable[..., Any] = torch.compile(flex_attention, dynamic=True)
    return compiled


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
    packed_layout: Layout | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """The function that transformers calls in each layer."""
    if packed_layout is None:
        raise RuntimeError("the packed attention was called without a row")
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return packed_layout.attend(query, key, value, Kind(scaling, sliding_window, softcap)), None


AttentionInterface.register(ATTENTION, _attend_packed)
