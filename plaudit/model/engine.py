"""The Engine: token ids in, hidden states at the scoring tokens out. Nothing else runs a backbone.

Nothing of a call is kept on the shared model: each thread that computes has a view of its own
around the same weights, with the attention of the packed pass or the model's own, and taps on
its layers. So calls from many threads, and several engines of one model, do not meet.

Shapes: S sequences, L layers asked for, d the backbone's width.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from plaudit.errors import ModelError, UsageError
from plaudit.model.backbone import depth, final_norm, layers_of, product_dtype, view_of
from plaudit.model.packed_attention import ATTENTION, FlexLayout, SegmentLayout
from plaudit.model.parallel import in_parallel
from plaudit.model.prefix_tree import Ids, Row, pack

log = logging.getLogger("plaudit")

# Small rows stay in the processor's cache: measured 4 to 8 % faster than 2,048 and 4,096.
ROW_TOKENS = 1024
# On an accelerator rows fill this share of the free memory, up to a number of tokens.
MEMORY_SHARE = 0.4
MOST_ROW_TOKENS = 65_536
# Relative error of the features that rounding alone may cause, far under what mixing does.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.08, torch.float16: 0.02}
# Rotary embeddings whose frequencies depend on how long the whole row is.
LENGTH_DEPENDENT = ("dynamic", "longrope")


class SelfCheck(NamedTuple):
    """Whether the packed pass fits a model: the outcome, the error seen and, if not, why."""

    packed: bool
    error: float
    reason: str = ""

    def __str__(self) -> str:
        if self.packed:
            return f"packed pass (self-check: relative error {self.error:.1e})"
        return f"plain pass, one forward per conversation: {self.reason}"


class Engine:
    """A backbone, its device, dtype and attention in one object.

    Args:
        backbone: a decoder of transformers; its weights are shared, nothing of it is changed.
        packing: the self-check's outcome, where it is known already.
    """

    def __init__(self, backbone: nn.Module, packing: SelfCheck | None = None) -> None:
        layers_of(backbone), final_norm(backbone)  # an encoder is refused here, by name
        self.backbone = backbone
        self._packing = packing
        self._views = threading.local()
        self._row_budget: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"backbone": self.backbone, "packing": self._packing}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def device(self) -> torch.device:
        return next(self.backbone.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        return product_dtype(self.backbone)

    @property
    def depth(self) -> int:
        return depth(self.backbone)

    @property
    def width(self) -> int:
        config: Any = self.backbone.config
        return int(config.hidden_size)

    @property
    def packing(self) -> SelfCheck:
        """The packed pass's self-check on this backbone, run once."""
        if self._packing is None:
            self._packing = self._self_check()
        return self._packing

    def features(
        self,
        sequences: Sequence[Ids],
        layers: Sequence[int] | None = None,
        *,
        gradients: bool = False,
        packed: bool | None = None,
        row_tokens: int | None = None,
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Features of each sequence's last token, through the final norm.

        Args:
            sequences: distinct, not empty.
            layers: counted from 1; the last one where None. Nothing above them is run.
            gradients: the features backpropagate into the backbone's parameters.
            packed: False takes the plain pass, one forward per sequence.
            row_tokens: tokens of a packed row; by the device where None.

        Yields (indices of sequences, [indices, L, d] in float32, on the engine's device).
        """
        layers = [self.depth] if layers is None else list(layers)
        packed = self.packing.packed if packed is None else packed
        together, alone = self._divided(sequences) if packed else ([], range(len(sequences)))
        if together:
            part = [sequences[index] for index in together]
            for members, values in self._packed(part, layers, gradients, row_tokens):
                yield [together[member] for member in members], values
        single = (sequences[index] for index in alone)
        plain = self._run(lambda ids: self._plain_row(ids, layers, gradients), single, gradients)
        for index, values in zip(alone, plain, strict=True):
            yield [index], values

    @property
    def row_budget(self) -> int:
        """Tokens of a packed row: what a processor's cache or an accelerator's memory holds."""
        if self.device.type in ("cpu", "meta"):
            return ROW_TOKENS
        if self._row_budget is None:
            self._row_budget = self._fitting_tokens()
        return self._row_budget

    # ------------------------------------------------------------------------------ passes

    def _packed(
        self, sequences: Sequence[Ids], layers: list[int], gradients: bool, budget: int | None
    ) -> Iterator[tuple[list[int], Tensor]]:
        def run(row: Row) -> tuple[list[int], Tensor]:
            return list(row.sequences), self._packed_row(row, layers, gradients)

        budget = budget or self.row_budget
        left = list(range(len(sequences)))
        while left:  # again, in smaller rows, where an accelerator's memory ran out
            done: set[int] = set()
            rows = pack([sequences[index] for index in left], budget)
            try:
                for members, values in self._run(run, rows, gradients):
                    done.update(members)
                    yield [left[member] for member in members], values
            except torch.OutOfMemoryError as error:
                budget = self._smaller_rows(budget, error)
            left = [index for position, index in enumerate(left) if position not in done]

    def _run(self, work: Any, items: Any, gradients: bool) -> Iterator[Any]:
        if gradients:  # the caller's own thread and autograd mode
            return map(work, items)
        return in_parallel(work, items, self.device)

    def _packed_row(self, row: Row, layers: list[int], gradients: bool) -> Tensor:
        device = self.device
        layout: FlexLayout | SegmentLayout
        if device.type == "cuda":
            layout = FlexLayout(row, device)
        else:
            layout = SegmentLayout(row, self.dtype, device)
        positions = torch.from_numpy(row.positions)[None].to(device)
        view = self._view(max(layers), ATTENTION)
        return view.run(
            row.ids, row.scored, layers, gradients, position_ids=positions, packed_layout=layout
        )

    def _plain_row(self, ids: Ids, layers: list[int], gradients: bool) -> Tensor:
        return self._view(max(layers), None).run(ids, np.array([len(ids) - 1]), layers, gradients)

    def _divided(self, sequences: Sequence[Ids]) -> tuple[list[int], list[int]]:
        """Indices of sequences that may share a row, and of those that must run alone.

        Where rotary frequencies change beyond a length, one long sequence in a row would change
        the short ones' scores.
        """
        config: Any = self.backbone.config
        rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
        rope = rope if isinstance(rope, dict) else {}
        every = list(range(len(sequences)))
        if rope.get("rope_type") not in LENGTH_DEPENDENT:
            return every, []
        limit = rope.get("original_max_position_embeddings") or getattr(
            config, "original_max_position_embeddings", config.max_position_embeddings
        )
        fits = [len(ids) <= limit for ids in sequences]
        return [i for i in every if fits[i]], [i for i in every if not fits[i]]

    def _view(self, layer: int, attention: str | None) -> _View:
        """This thread's view up to a layer; made again when the weights have moved."""
        weight = next(self.backbone.parameters())
        key = (layer, attention, weight.device, self.dtype, id(weight))
        views: dict[Any, _View] = self._views.__dict__.setdefault("of", {})
        if key not in views:
            for old in [known for known in views if known[:2] == key[:2]]:
                del views[old]
            views[key] = _View(self.backbone, layer, attention)
        return views[key]

    # -------------------------------------------------------------------------- self-check

    def _self_check(self) -> SelfCheck:
        """Compare packed and plain features on sequences that branch, before the first use.

        A model that mixes tokens other than by attention (state-space hybrids), or that ignores
        position ids, would mix responses silently: it fails here and takes the plain path.
        """
        config: Any = self.backbone.config
        window = getattr(config, "sliding_window", None) or 0
        length = window + 9 if 0 < window <= 256 else 35
        sequences = branching_ids(config.vocab_size, length)
        try:
            packed = self._gathered(sequences, packed=True)
        except (TypeError, RuntimeError, ValueError, LookupError, AttributeError) as error:
            reason = f"the model does not take packed rows ({error})"
            return SelfCheck(False, float("inf"), reason)
        plain = self._gathered(sequences, packed=False)
        gap = float((packed - plain).norm(dim=-1).max() / plain.norm(dim=-1).mean())
        if not gap <= TOLERANCE.get(self.dtype, 1e-3):
            return SelfCheck(False, gap, f"packed features differ by {gap:.1e} on this model")
        return SelfCheck(True, gap)

    def _gathered(self, sequences: Sequence[Ids], packed: bool) -> Tensor:
        found: dict[int, Tensor] = {}
        for indices, values in self.features(sequences, packed=packed):
            found.update(zip(indices, values[:, -1], strict=True))
        return torch.stack([found[index] for index in range(len(sequences))])

    # -------------------------------------------------------------------------------- memory

    def _fitting_tokens(self) -> int:
        if self.device.type != "cuda":
            return 4 * ROW_TOKENS
        config: Any = self.backbone.config
        free, _ = torch.cuda.mem_get_info(self.device)
        inner = getattr(config, "intermediate_size", None) or 4 * self.width
        per_token = 4 * (8 * self.width + 3 * int(inner))  # residual stream, q k v o, the MLP
        fitting = int(MEMORY_SHARE * free / per_token)
        return max(ROW_TOKENS, min(MOST_ROW_TOKENS, fitting // ROW_TOKENS * ROW_TOKENS))

    def _smaller_rows(self, tokens: int, error: Exception) -> int:
        if tokens <= ROW_TOKENS:
            raise ModelError(
                f"{self.device} is out of memory with rows of {tokens:,} tokens; shorten "
                "--max-length, or run on another device (--device cpu)"
            ) from error
        torch.cuda.empty_cache()
        self._row_budget = tokens // 2
        log.warning("%s ran out of memory; rows shrink to %s tokens", self.device, tokens // 2)
        return self._row_budget


class _View:
    """A thread's own copy of the modules, cut at a layer, with taps on all its layers."""

    def __init__(self, backbone: nn.Module, layer: int, attention: str | None) -> None:
        self.model = view_of(backbone, layer, attention)
        self.norm = final_norm(self.model)
        self.wanted: set[int] = set()
        self.scored: Tensor | None = None
        self.kept: dict[int, Tensor] = {}
        for number, module in enumerate(layers_of(self.model), start=1):
            module.register_forward_hook(self._tap(number))
        # Frequencies grown for a long sequence would stay so for the next one.
        growing = [m for m in self.model.modules() if hasattr(m, "max_seq_len_cached")]
        self.growing: list[Any] = [m for m in growing if hasattr(m, "original_inv_freq")]

    def _tap(self, number: int) -> Any:
        def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if number in self.wanted:
                hidden = output[0] if isinstance(output, tuple) else output
                self.kept[number] = hidden[0, self.scored]

        return keep

    def run(
        self, ids: Ids, scored: Ids, layers: list[int], gradients: bool, **arguments: Any
    ) -> Tensor:
        """[scored, L, d] features of one row of token ids [N], at the scored positions."""
        device = next(self.model.parameters()).device
        with torch.enable_grad() if gradients else torch.inference_mode():
            self.wanted, self.kept = set(layers), {}
            self.scored = torch.from_numpy(scored).to(device)
            row = torch.from_numpy(ids)[None].to(device)
            for rotary in self.growing:
                rotary.max_seq_len_cached = rotary.original_max_seq_len
                rotary.inv_freq = rotary.original_inv_freq
            self.model(input_ids=row, use_cache=False, **arguments)
            hidden = torch.stack([self.kept[number] for number in layers], dim=1)
            self.wanted, self.kept = set(), {}
            features: Tensor = self.norm(hidden).float()
            return features


def choose_device(name: str = "auto") -> torch.device:
    """The device named: auto, cpu, cuda, cuda:N or mps. Raises UsageError where it is not here."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in ("cpu", "cuda", "mps", "meta") or (number and not number.isdigit()):
        raise UsageError(f"--device must be auto, cpu, cuda, cuda:N or mps, found {name!r}")
    here = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind in here and int(number or 0) >= here[kind]:
        raise UsageError(f"--device {name}: this machine has {here[kind]} {kind} devices")
    return torch.device(name)


def branching_ids(vocabulary: int, length: int, seed: int = 0) -> list[Ids]:
    """Random sequences that branch at several depths, for the self-check."""
    random = np.random.default_rng(seed)

    def new(size: int) -> Ids:
        return random.integers(0, vocabulary, size)

    system = new(18)
    prompts = [np.concatenate([system, new(size)]) for size in (20, length)]
    responses = [np.concatenate([prompt, new(size)]) for prompt in prompts for size in (5, 12)]
    return [*responses, np.concatenate([responses[0], new(14)]), new(20)]
