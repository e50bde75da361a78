"""What plaudit needs to know of a decoder: its layers, its final norm, how to cut it, how to
run it in a dtype, and how to look at it without touching it.

A layer counts from 1; features of layer L are its output through the final norm, which is
what the model gives once layer L is its last.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from plaudit.errors import ModelError

LAYER_NAMES = ("layers", "h", "blocks")
NORM_NAMES = ("norm", "final_layernorm", "ln_f", "final_layer_norm", "norm_f")


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


def keep_layers(backbone: nn.Module, layer: int) -> None:
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


def view_of(backbone: nn.Module, layer: int, attention: str | None = None) -> nn.Module:
    """A model of its own, up to `layer`, around the very same weights; the backbone is untouched.

    Modules, config and hooks are copied, parameters and buffers shared. `attention` names the
    view's attention function; None keeps the backbone's.
    """
    shared: dict[int, Any] = {id(t): t for t in (*backbone.parameters(), *backbone.buffers())}
    view: Any = copy.deepcopy(backbone, shared)
    name, layers = _named(view, LAYER_NAMES, "list of layers")
    setattr(view, name, layers[:layer])  # type: ignore[index]
    if attention is not None:
        view.config._attn_implementation = attention
    return view.eval()  # type: ignore[no-any-return]


def set_dtype(backbone: nn.Module, dtype: torch.dtype) -> None:
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
    for module in layers.modules():
        if _is_norm(module):
            module.float().register_forward_hook(lambda _, __, output: output.to(dtype))


def product_dtype(backbone: nn.Module) -> torch.dtype:
    """The dtype that the layers' products run in."""
    return next(p.dtype for p in layers_of(backbone).parameters() if p.ndim > 1)


def _is_norm(module: nn.Module) -> bool:
    """Whether a module holds vectors only: a norm's scale and shift."""
    parameters = list(module.parameters())
    return not list(module.children()) and bool(parameters) and all(p.ndim == 1 for p in parameters)
