"""What plaudit needs to know of a decoder: its layers, its final norm, how to cut it,
and how to run it in a dtype.

A layer counts from 1; features of layer L are its output through the final norm, which is
what the model gives once layer L is its last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from plaudit.errors import ModelError
from plaudit.model.packed_attention import branching_ids, hidden_states
from plaudit.model.prefix_tree import Ids

__all__ = [
    "SelfCheck",
    "cut",
    "decoder_of",
    "depth",
    "features",
    "final_norm",
    "layers_of",
    "run_in",
    "self_check",
    "shallow",
]

LAYER_NAMES = ("layers", "h", "blocks")
NORM_NAMES = ("norm", "final_layernorm", "ln_f", "final_layer_norm", "norm_f")
# Relative error of the features that rounding alone may cause, far under what mixing does.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.08, torch.float16: 0.02}


def decoder_of(model: Any) -> nn.Module:
    """The decoder without its language-model or classification head."""
    decoder: nn.Module = model.base_model if hasattr(model, "base_model") else model
    return decoder


def _named(backbone: nn.Module, names: Sequence[str], what: str) -> tuple[str, nn.Module]:
    for name in names:
        part = getattr(backbone, name, None)
        if isinstance(part, nn.Module):
            return name, part
    raise ModelError(
        f"{type(backbone).__name__} has no {what} plaudit knows ({', '.join(names)}); a head "
        "is trained on decoder models such as Llama, Qwen, Gemma, Mistral, Phi or SmolLM"
    )


def layers_of(backbone: nn.Module) -> nn.ModuleList:
    """The decoder layers; raises ModelError for encoders and unknown layouts."""
    _, layers = _named(backbone, LAYER_NAMES, "list of layers")
    if not isinstance(layers, nn.ModuleList):
        raise ModelError(f"the layers of {type(backbone).__name__} are not a ModuleList")
    return layers


def final_norm(backbone: nn.Module) -> nn.Module:
    """The norm after the last layer."""
    return _named(backbone, NORM_NAMES, "final norm")[1]


def depth(backbone: nn.Module) -> int:
    """How many layers the decoder has."""
    return len(layers_of(backbone))


def run_in(backbone: nn.Module, dtype: torch.dtype) -> None:
    """Make the layers' products run in `dtype`, in place; norms and residual stream in float32.

    A residual stream in bfloat16 doubles the scores' error, and is no faster: every norm then
    converts to float32 and back. Buffers keep their dtype: rotary frequencies in bfloat16 would
    turn far positions by whole degrees.
    """
    if dtype == torch.float32:
        backbone.float()
        return
    layers = layers_of(backbone)
    for module in backbone.modules():
        if not _is_norm(module):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(dtype)
    layers[0].register_forward_pre_hook(lambda _, args: (args[0].float(), *args[1:]))
    product = next(parameter for parameter in layers.parameters() if parameter.ndim > 1)
    for module in layers.modules():
        if _is_norm(module):
            module.float().register_forward_hook(lambda _, __, output: output.to(product.dtype))


def _is_norm(module: nn.Module) -> bool:
    """Whether a module holds vectors only: a norm's scale and shift."""
    parameters = list(module.parameters())
    return not list(module.children()) and bool(parameters) and all(p.ndim == 1 for p in parameters)


@contextmanager
def shallow(backbone: nn.Module, layer: int) -> Iterator[None]:
    """Run only the first `layer` layers meanwhile; nothing is copied or lost."""
    name, layers = _named(backbone, LAYER_NAMES, "list of layers")
    setattr(backbone, name, layers[:layer])  # type: ignore[index]
    try:
        yield
    finally:
        setattr(backbone, name, layers)


def cut(backbone: nn.Module, layer: int) -> None:
    """Make `layer` the last one, in place: the layers, their count, per-layer config lists."""
    config: Any = backbone.config
    full = depth(backbone)
    if not 1 <= layer <= full:
        raise ModelError(f"layer {layer} of a model with {full} layers; allowed are 1 to {full}")
    name, layers = _named(backbone, LAYER_NAMES, "list of layers")
    setattr(backbone, name, layers[:layer])  # type: ignore[index]
    for key, value in vars(config).items():
        if isinstance(value, (list, tuple)) and len(value) == full:
            setattr(config, key, value[:layer])
    config.num_hidden_layers = layer


@torch.inference_mode()
def features(
    backbone: nn.Module, sequences: Sequence[Ids], layers: Sequence[int], packed: bool
) -> Iterator[tuple[list[int], Tensor]]:
    """Float32 features of the scoring tokens, [indices, layers, d], through the final norm.

    Nothing above the highest layer asked for is run.
    """
    norm = final_norm(backbone)
    with shallow(backbone, max(layers)):
        for indices, hidden in hidden_states(backbone, sequences, layers, packed):
            yield indices, norm(hidden).float()


class SelfCheck(NamedTuple):
    """Whether the packed pass fits a model: the outcome, the error seen and, if not, why."""

    packed: bool
    error: float
    reason: str = ""

    def __str__(self) -> str:
        if self.packed:
            return f"packed pass (self-check: relative error {self.error:.1e})"
        return f"plain pass, one forward a conversation: {self.reason}"


def self_check(backbone: nn.Module) -> SelfCheck:
    """Compare packed and plain features on sequences that branch, before the first use.

    A model that mixes tokens other than by attention (state-space hybrids), or that ignores
    position ids, would mix responses silently: it fails here and takes the plain path.
    """
    config: Any = backbone.config
    window = getattr(config, "sliding_window", None) or 0
    sequences = branching_ids(config.vocab_size, length=window + 9 if 0 < window <= 256 else 35)
    layers = [depth(backbone)]
    tolerance = TOLERANCE.get(next(backbone.parameters()).dtype, 1e-3)
    try:
        packed = _gathered(backbone, sequences, layers, packed=True)
    except (TypeError, RuntimeError, ValueError, KeyError) as error:
        return SelfCheck(False, float("inf"), f"the model does not take packed rows ({error})")
    plain = _gathered(backbone, sequences, layers, packed=False)
    gap = float((packed - plain).norm(dim=-1).max() / plain.norm(dim=-1).mean())
    if not gap <= tolerance:
        return SelfCheck(False, gap, f"packed features differ by {gap:.1e} on this model")
    return SelfCheck(True, gap)


def _gathered(
    backbone: nn.Module, sequences: Sequence[Ids], layers: Sequence[int], packed: bool
) -> Tensor:
    found: dict[int, Tensor] = {}
    for indices, values in features(backbone, sequences, layers, packed):
        found.update(zip(indices, values[:, -1], strict=True))
    return torch.stack([found[index] for index in range(len(sequences))])
