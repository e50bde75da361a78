"""`train`: DATA to a saved reward model and its Report, the backbone frozen.

In order: settings and data are checked before the backbone is loaded; the backbone runs once,
into the cache; layer, ridge and temperature are chosen on the training prompts alone; the
held-out prompts are scored by the head that never saw them; then the saved head is fitted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plaudit.config import TrainConfig
from plaudit.evaluation.report import Report
from plaudit.model.backbone import keep_layers
from plaudit.model.reward_model import RewardModel
from plaudit.model.scoring import Posterior
from plaudit.statistics.intervals import Interval
from plaudit.training.base import load_base, with_stored_weights
from plaudit.training.dataset import Material, read_checked, rendered
from plaudit.training.frozen.extraction import extract
from plaudit.training.frozen.features import FeatureCache, Features
from plaudit.training.frozen.head import Choice, Head, fit
from plaudit.training.report import held_out_report, run_facts

__all__ = ["Trained", "train"]

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trained:
    """A trained model, where it was saved, and its Report."""

    model: RewardModel
    report: Report
    folder: Path | None


def train(
    data: str | Sequence[str],
    output: str | Path | None = None,
    config: TrainConfig | None = None,
    *,
    say: Say = lambda _: None,
    progress: Progress | None = None,
    **settings: Any,
) -> Trained:
    """Train a head on a frozen backbone.

    Args:
        data: DATA, one or several.
        output: the folder to save to; None saves nothing.
        config: settings, or give them as keywords: `train(data, base="smollm2")`.
        say: called with a line at each step.
        progress: called with (tokens done, all) during the pass.

    Raises UsageError on bad settings, DataError on bad data (both before the backbone is
    loaded), ModelError on a base that will not do.
    """
    config = config or TrainConfig(**settings)
    started = time.perf_counter()
    checked = read_checked([data] if isinstance(data, str) else data, config)
    say(f"{checked.tally.rows:,} rows, {len(checked.pairs):,} pairs; {checked.findings.summary()}")
    base = load_base(config, say)
    material = rendered(checked, base.renderer, config)
    model = RewardModel(base.engine.backbone, renderer=base.renderer)
    model.engine = base.engine
    dtype = base.precision.dtype
    say(f"{dtype} ({base.precision.reason}); {base.engine.packing}")
    cache = FeatureCache.open(base.weights, str(dtype), base.engine.packing.packed)
    extraction = extract(material, model, cache, config, say, progress)
    features, choice, _ = extraction
    report = held_out_report(checked, material, features, choice)
    head, used = _saved_head(material, features, choice, config)
    seconds = time.perf_counter() - started
    report.facts |= run_facts(material, extraction, used, base.precision, config, seconds)
    _assemble(model, head, choice, material, features, config, report)
    folder = None
    if output is not None:
        folder = Path(output)
        # bfloat16 was for the pass; the model is saved in the base's own precision.
        if dtype != torch.float32:
            model = with_stored_weights(model, base.folder, choice.layer)
        model.save_pretrained(folder)
        (folder / "report.json").write_text(report.to_json() + "\n", encoding="utf-8")
        report.facts["saved"] = str(folder)
        report.next_command = f"plaudit score {folder} DATA   (or: plaudit evaluate {folder} DATA)"
    return Trained(model, report, folder)


def _saved_head(
    material: Material, features: Features, choice: Choice, config: TrainConfig
) -> tuple[Head, NDArray[np.int64]]:
    used = material.train
    if config.refit and config.test is None:
        used = np.sort(np.concatenate([material.train, material.test]))
    x = material.differences(features.layer(choice.layer), used)
    return fit(x, material.labels(used), choice.prior_std, choice.temperature), used


def _assemble(
    model: RewardModel,
    head: Head,
    choice: Choice,
    material: Material,
    features: Features,
    config: TrainConfig,
    report: Report,
) -> None:
    """Cut the backbone, set the head and its posterior, write what the contract needs."""
    values = features.layer(choice.layer)
    keep_layers(model.backbone, choice.layer)
    weight = torch.tensor(head.weight, dtype=torch.float32)[None]
    model.head.weight.data = weight.to(model.engine.device)
    center = values.mean(axis=0)
    model.posterior = Posterior(
        torch.tensor(head.factor, dtype=torch.float32).contiguous(), torch.from_numpy(center)
    )
    scores = values.astype(np.float64) @ head.weight
    digest = sha256()
    for pair in material.pairs:
        digest.update(f"{pair.a.id}{pair.b.id}{pair.p}{pair.weight}".encode())
    model.contract = {
        "base": config.base,
        "layer": choice.layer,
        "normalisation": {"mean": float(scores.mean()), "std": float(scores.std())},
        "calibration": {"temperature": choice.temperature, "folded": True},
        "ridge_prior_std": choice.prior_std,
        "data": {"pairs": len(material.pairs), "sha256": digest.hexdigest()},
        "held_out": {
            name: value.value if isinstance(value, Interval) else float(value)
            for name, value in report.numbers.items()
        },
    }
