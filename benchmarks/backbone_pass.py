"""The backbone pass: its share of the matrix-product rate, and against sorted, padded batches.

python benchmarks/backbone_pass.py DATA [--pairs 64] [--rounds 5] [--device cuda] [--json FILE]
python benchmarks/backbone_pass.py DATA --invariance [--json FILE]

Counted on the tokens really run. Rates and passes alternate in one process; the share of a round
is its pass against the rate measured just before it, and the median round is reported.
--invariance: whether scores depend on batch composition, alone against packed, over 500
conversations, by a random head and by a trained one, and how far bfloat16 is from float32.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoTokenizer

from plaudit.data import pairs_of, read
from plaudit.model.backbone import set_dtype
from plaudit.model.download import base_folder
from plaudit.model.engine import Engine, choose_device
from plaudit.model.precision import matrix_rate
from plaudit.model.prefix_tree import pack
from plaudit.model.renderer import Renderer
from plaudit.statistics.bradley_terry import prior_ridge, solve
from plaudit.types import Pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--invariance", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    result = invariance(options.data, options.device) if options.invariance else speed(options)
    print(json.dumps(result, indent=2))
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=2)


def engine_in(dtype: torch.dtype, device: str) -> Engine:
    backbone = AutoModel.from_pretrained(base_folder("smollm2"), dtype="auto").eval()
    set_dtype(backbone, dtype)
    return Engine(backbone.to(choose_device(device)))


def row_tokens(engine: Engine, sequences: list[Any]) -> int:
    """Tokens that the packed pass really runs."""
    return sum(len(row.ids) for row in pack(sequences, engine.row_budget))


def sequences_of(pairs: list[Pair]) -> list[Any]:
    renderer = Renderer.of(AutoTokenizer.from_pretrained(base_folder("smollm2")), 2048)
    return [r.ids for r in renderer.render([c for p in pairs for c in (p.a, p.b)])]


def speed(options: Any) -> dict[str, Any]:
    pairs = pairs_of(read(options.data))
    pairs = pairs[:: max(1, len(pairs) // options.pairs)][: options.pairs]
    sequences = list({ids.tobytes(): ids for ids in sequences_of(pairs)}.values())
    result: dict[str, Any] = {"responses": len(sequences), "tokens": sum(map(len, sequences))}
    for dtype in (torch.float32, torch.bfloat16):
        engine = engine_in(dtype, options.device)
        result["device"] = str(engine.device)
        result["tokens_run_packed"] = row_tokens(engine, sequences)
        result[str(dtype)] = measure(engine, sequences, dtype, options.rounds)
    return result


def measure(
    engine: Engine, sequences: list[Any], dtype: torch.dtype, rounds: int
) -> dict[str, Any]:
    """Responses/s of both passes, and GFLOP/s of products against the machine's rate."""
    backbone: Any = engine.backbone
    config = backbone.config
    weights = sum(
        p.numel() for n, p in backbone.named_parameters() if p.ndim == 2 and "embed" not in n
    )
    work = 2e-9 * weights * row_tokens(engine, sequences)
    rates, packed, padded = [], [], []
    run_packed(engine, sequences[:8])
    for _ in range(rounds):
        rates.append(model_rate(config, dtype, engine.device.type))
        packed.append(seconds_of(lambda: run_packed(engine, sequences)))
        padded.append(seconds_of(lambda: run_padded(backbone, sequences)))
    shares = [work / seconds / rate for seconds, rate in zip(packed, rates, strict=True)]
    return {
        "matrix_rate_gflops": statistics.median(rates),
        "pass_gflops": work / statistics.median(packed),
        "share_of_rate": statistics.median(shares),
        "share_of_each_round": [round(share, 3) for share in shares],
        "packed_responses_per_s": len(sequences) / statistics.median(packed),
        "padded_responses_per_s": len(sequences) / statistics.median(padded),
        "packed_over_padded": statistics.median(
            slow / fast for slow, fast in zip(padded, packed, strict=True)
        ),
    }


def seconds_of(run: Callable[[], Any]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def run_packed(engine: Engine, sequences: list[Any]) -> None:
    for _, values in engine.features(sequences, packed=True):
        values[0, 0, 0].item()  # waits for an accelerator


def model_rate(config: Any, dtype: torch.dtype, device: str) -> float:
    """The rate of one layer's seven products, in proportion to their work."""
    d, m = config.hidden_size, config.intermediate_size
    kv = config.num_key_value_heads * config.head_dim
    shapes = [(d, d), (d, kv), (d, kv), (d, d), (d, m), (d, m), (m, d)]
    work = [a * b for a, b in shapes]
    rates = [matrix_rate(dtype, 1024, a, b, repeats=7, device=device) for a, b in shapes]
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
        where = backbone.device
        hidden = backbone(input_ids=ids.to(where), attention_mask=mask.to(where), use_cache=False)
        hidden.last_hidden_state[0, 0, 0].item()
        start += size


def invariance(data: str, device: str) -> dict[str, Any]:
    """Largest score differences, in standard deviations of the scores, of two heads."""
    pairs = [pair for pair in pairs_of(read(data))[:250] if pair.a.messages != pair.b.messages]
    every = sequences_of(pairs)
    alone, packed = {}, {}
    for dtype in (torch.float32, torch.bfloat16):
        engine = engine_in(dtype, device)
        packed[dtype] = together(engine, every)
        alone[dtype] = np.concatenate([together(engine, [ids]) for ids in every])
    exact = alone[torch.float32]
    p = np.array([pair.p for pair in pairs])
    x = exact[0::2] - exact[1::2]
    heads = {
        "random": np.random.default_rng(0).normal(size=exact.shape[1]),
        "trained": solve(x, p, np.ones(len(p)), prior_ridge(x, 1.0)).v,
    }
    result: dict[str, Any] = {"conversations": len(every)}
    for name, head in heads.items():
        spread = (exact @ head).std()
        for dtype in alone:
            gap = np.abs((packed[dtype] - alone[dtype]) @ head)
            result[f"{name} head, {dtype}, alone against packed"] = gap.max() / spread
        gap = (alone[torch.bfloat16] - exact) @ head
        result[f"{name} head, bfloat16 against float32, largest"] = np.abs(gap).max() / spread
        result[f"{name} head, bfloat16 against float32, rms"] = np.sqrt((gap**2).mean()) / spread
    return result


def together(engine: Engine, every: list[Any]) -> Any:
    """[N, d] features of conversations run in one call; equal ones are run once."""
    number = {ids.tobytes(): i for i, ids in enumerate(every)}
    sequences = [every[i] for i in number.values()]
    found = np.empty((len(sequences), engine.width))
    for indices, values in engine.features(sequences, packed=True):
        found[indices] = values[:, 0].cpu().numpy()
    place = {key: i for i, key in enumerate(number)}
    return found[[place[ids.tobytes()] for ids in every]]


if __name__ == "__main__":
    main()
