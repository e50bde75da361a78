"""The backbone pass: its share of the matrix-product rate, and against sorted, padded batches.

python benchmarks/backbone_pass.py DATA [--pairs 128] [--json FILE]

Counted on the tokens really run; rates and passes alternate in one process, medians of several.
Also: whether scores depend on batch composition, alone against packed, over 500 conversations.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from plaudit.data import pairs_of, read
from plaudit.model.backbone import features
from plaudit.model.bases import base_folder
from plaudit.model.precision import matrix_rate
from plaudit.model.renderer import Renderer
from plaudit.training.features import row_tokens

ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--json")
    options = parser.parse_args()
    folder = base_folder("smollm2")
    renderer = Renderer.of(AutoTokenizer.from_pretrained(folder), 2048)
    pairs = pairs_of(read(options.data))[:: max(1, 1800 // options.pairs)][: options.pairs]
    ids = [r.ids for r in renderer.render([c for p in pairs for c in (p.a, p.b)])]
    sequences = list({i.tobytes(): i for i in ids}.values())
    result: dict[str, Any] = {"replies": len(sequences), "tokens": sum(map(len, sequences))}
    result["tokens_run_packed"] = row_tokens(sequences)
    for dtype in (torch.float32, torch.bfloat16):
        backbone = AutoModel.from_pretrained(folder, dtype=dtype).eval()
        result[str(dtype)] = measure(backbone, sequences, dtype)
        print(json.dumps({str(dtype): result[str(dtype)]}, indent=2), flush=True)
    many = [
        r.ids
        for r in renderer.render(
            [c for p in pairs_of(read(options.data))[:260] for c in (p.a, p.b)]
        )
    ]
    many = list({i.tobytes(): i for i in many}.values())[:500]
    for dtype in (torch.float32, torch.bfloat16):
        backbone = AutoModel.from_pretrained(folder, dtype=dtype).eval()
        result[f"batch invariance {dtype}"] = invariance(backbone, many)
    print(json.dumps(result, indent=2))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=2)


def measure(backbone: Any, sequences: list[Any], dtype: torch.dtype) -> dict[str, float]:
    """Median replies/s of both passes, and GFLOP/s of products against the machine's rate."""
    config = backbone.config
    weights = sum(
        p.numel() for n, p in backbone.named_parameters() if p.ndim == 2 and "embed" not in n
    )
    rates, packed, padded = [], [], []
    list(features(backbone, sequences[:8], [config.num_hidden_layers], True))
    for _ in range(ROUNDS):
        rates.append(model_rate(config, dtype))
        started = time.perf_counter()
        list(features(backbone, sequences, [config.num_hidden_layers], True))
        packed.append(time.perf_counter() - started)
        started = time.perf_counter()
        run_padded(backbone, sequences)
        padded.append(time.perf_counter() - started)
    seconds = statistics.median(packed)
    done = 2e-9 * weights * row_tokens(sequences) / seconds
    rate = statistics.median(rates)
    return {
        "matrix_rate_gflops": rate,
        "pass_gflops": done,
        "share_of_rate": done / rate,
        "packed_replies_per_s": len(sequences) / seconds,
        "padded_replies_per_s": len(sequences) / statistics.median(padded),
        "packed_over_padded": statistics.median(padded) / seconds,
    }


def model_rate(config: Any, dtype: torch.dtype) -> float:
    """The rate of one layer's seven products, in proportion to their work."""
    d, m = config.hidden_size, config.intermediate_size
    kv = config.num_key_value_heads * config.head_dim
    shapes = [(d, d), (d, kv), (d, kv), (d, d), (d, m), (d, m), (m, d)]
    work = [a * b for a, b in shapes]
    rates = [matrix_rate(dtype, 1024, a, b, repeats=7) for a, b in shapes]
    return sum(work) / sum(w / r for w, r in zip(work, rates, strict=True))


@torch.inference_mode()
def run_padded(backbone: Any, sequences: list[Any], batch_tokens: int = 4096) -> None:
    """transformers' own forward on length-sorted, padded batches."""
    order = sorted(sequences, key=len, reverse=True)
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // len(order[start]))
        part = order[start : start + size]
        ids = torch.zeros(len(part), len(part[0]), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, one in enumerate(part):
            ids[row, : len(one)], mask[row, : len(one)] = torch.from_numpy(one), 1
        backbone(input_ids=ids, attention_mask=mask, use_cache=False)
        start += size


def invariance(backbone: Any, sequences: list[Any]) -> dict[str, float]:
    """Largest score difference, alone against packed, of a random head."""
    layer = [backbone.config.num_hidden_layers]
    head = torch.randn(backbone.config.hidden_size, generator=torch.Generator().manual_seed(0))
    head /= backbone.config.hidden_size**0.5
    scores = {}
    for name, parts in (("packed", [sequences]), ("alone", [[s] for s in sequences])):
        found = np.zeros(len(sequences))
        for start, part in enumerate(parts):
            for indices, values in features(backbone, part, layer, True):
                found[[start + i for i in indices]] = (values[:, 0] @ head).numpy()
        scores[name] = found
    gap = np.abs(scores["packed"] - scores["alone"]).max()
    return {"largest_difference": float(gap), "in_std": float(gap / scores["alone"].std())}


if __name__ == "__main__":
    main()
