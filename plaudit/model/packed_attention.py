"""The packed pass: responses share their prompt's tokens, and nothing is padded.

One attention function is registered with transformers' AttentionInterface, so the model stays
transformers' own and every decoder family that uses the interface works unpatched. A row
(`tree.Row`) travels as a keyword argument of the model's forward; each segment attends to its
ancestors and to itself.

Shapes: N tokens of a row, H heads, K key-value heads, G = H / K, D a head's width.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from plaudit.model.parallel import in_parallel
from plaudit.model.prefix_tree import Ids, Row, Segment, pack

__all__ = ["ROW_TOKENS", "hidden_states", "packed_hidden", "plain_hidden"]

ATTENTION = "plaudit_packed"
# Small rows stay in the processor's cache: measured 4 to 8 % faster than 2,048 and 4,096.
ROW_TOKENS = 1024
# Keys of a segment are padded to a multiple of this, the width of a vector register: torch's
# softmax sums the rest of a row in another order, and so a score would depend, by its
# rounding, on where its row ends. With it, scores in bfloat16 are the same bits in any batch.
KEYS_MULTIPLE = 32
# Queries attended at a time, to the keys up to the last of them: measured best of 64 to 256.
QUERY_BLOCK = 128


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
        size = _up_to_multiple(len(positions)) - len(positions)
        padding = positions.new_full((size,), segment.stop - 1)
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
        k, v = key[0].index_select(1, seen), value[0].index_select(1, seen)
        mask = packed_layout.mask(number, sliding_window)
        size = segment.stop - segment.start
        for first in range(0, size, QUERY_BLOCK):  # later keys are masked: not read at all
            last = min(first + QUERY_BLOCK, size)
            reach = _up_to_multiple(segment.depth + last)
            attended = _attend(
                query[:, :, segment.start + first : segment.start + last],
                k[:, :reach],
                v[:, :reach],
                mask[first:last, :reach],
                softcap,
            )
            out[segment.start + first : segment.start + last] = attended.permute(2, 0, 1, 3)
    return out.view(1, total, heads, -1), None


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


class _Tapped:
    """A backbone that gives, of the layers asked for, hidden states at the scored positions only.

    It runs in several threads at once, so what a forward keeps is the thread's own.
    """

    def __init__(self, backbone: nn.Module, wanted: Sequence[int]) -> None:
        layers: Any = getattr(backbone, "layers", None)
        if layers is None:
            layers = getattr(backbone, "h", None) or backbone.blocks
        self._backbone, self._wanted = backbone, wanted
        self.weight = next(backbone.parameters())
        self._of_thread = threading.local()
        self._handles = [
            layers[number - 1].register_forward_hook(self._keep(number)) for number in wanted
        ]

    def _keep(self, number: int) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            hidden = output[0] if isinstance(output, tuple) else output
            self._of_thread.kept[number] = hidden[0, self._of_thread.scored]

        return hook

    @torch.inference_mode()
    def __call__(self, ids: Ids, scored: Ids, **arguments: Any) -> Tensor:
        """[scored, layers, d] hidden states of one row of token ids [N]."""
        self._of_thread.scored = torch.from_numpy(scored).to(self.weight.device)
        self._of_thread.kept = {}
        row = torch.from_numpy(ids)[None].to(self.weight.device)
        self._backbone(input_ids=row, use_cache=False, **arguments)
        return torch.stack([self._of_thread.kept[number] for number in self._wanted], dim=1)

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


@contextmanager
def _tapped(backbone: nn.Module, wanted: Sequence[int]) -> Iterator[_Tapped]:
    taps = _Tapped(backbone, wanted)
    try:
        yield taps
    finally:
        taps.remove()


def packed_hidden(
    backbone: nn.Module, sequences: Sequence[Ids], layers: Sequence[int], budget: int = ROW_TOKENS
) -> Iterator[tuple[Row, Tensor]]:
    """Run rows of distinct sequences; yield each row and [sequences, layers, d] hidden states.

    `layers` count from 1 and are taken before the final norm. The backbone runs all its
    layers: cut it first (`reward_model.cut`) where the upper ones are not wanted.
    """
    with _tapped(backbone, layers) as taps, _attention(backbone, ATTENTION):
        dtype, device = taps.weight.dtype, taps.weight.device

        def run(row: Row) -> tuple[Row, Tensor]:
            positions = torch.from_numpy(row.positions)[None].to(device)
            layout = _Layout(row, dtype, device)
            return row, taps(row.ids, row.scored, position_ids=positions, packed_layout=layout)

        yield from in_parallel(run, pack(sequences, budget), device)


def plain_hidden(
    backbone: nn.Module, sequences: Sequence[Ids], layers: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    """One unpadded forward a sequence: the reference, and the path of what cannot be packed."""
    with _tapped(backbone, layers) as taps:

        def run(ids: Ids) -> Tensor:
            return taps(ids, np.array([len(ids) - 1]))

        yield from enumerate(in_parallel(run, sequences, taps.weight.device))


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
    responses = [np.concatenate([prompt, new(size)]) for prompt in prompts for size in (5, 12)]
    return [*responses, np.concatenate([responses[0], new(14)]), new(20)]
