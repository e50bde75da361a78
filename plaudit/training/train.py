"""`train`: DATA to a saved reward model and its Report, the backbone frozen.

In order: settings, output and data are checked before the backbone is loaded; the backbone runs
once, into the cache; layer, ridge and temperature are chosen on the training prompts alone; the
held-out prompts are scored by heads that never saw them; then the saved head is fitted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plaudit.config import TrainConfig
from plaudit.errors import UsageError
from plaudit.evaluation.report import Report
from plaudit.model.backbone import keep_layers
from plaudit.model.reward_model import RewardModel
from plaudit.model.scoring import Posterior
from plaudit.scoring_api import describe
from plaudit.statistics.intervals import Interval
from plaudit.training.base import load_base, with_stored_weights
from plaudit.training.dataset import Integers, TokenizedPairs, read_data, tokenize
from plaudit.training.frozen.features import FeatureCache, Features
from plaudit.training.frozen.head import Head, Selection, fit, select_each
from plaudit.training.frozen.layer_search import LayerSearch, search_layers
from plaudit.training.model_card import model_card
from plaudit.training.output import check_output, check_space, written_whole
from plaudit.training.report import held_out_report, run_facts
from plaudit.types import Pair, messages_id

Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trained:
    """A trained model, where it was saved, and its Report."""

    model: RewardModel
    report: Report
    folder: Path | None

    def __repr__(self) -> str:
        saved = "not saved" if self.folder is None else f"saved to {self.folder}"
        return f"Trained({describe('RewardModel', self.model.contract)}, {saved})"


def train(
    data: Any,
    output: str | Path | None = None,
    config: TrainConfig | None = None,
    *,
    say: Say = lambda _: None,
    progress: Progress | None = None,
    **settings: Any,
) -> Trained:
    """Train a head on a frozen backbone.

    Args:
        data: DATA: a file or data set id or a list of them, or rows: a list of dicts, a data
            frame, a `datasets.Dataset`, an iterator of dicts.
        output: the folder to save to; None saves nothing.
        config: settings, or give them as keywords: `train(data, base="smollm2")`.
        say: called with a line at each step.
        progress: called with (tokens done, all) during the pass.

    >>> trained = train("desk.jsonl", "desk-rm")  # doctest: +SKIP
    >>> trained.report["accuracy"]  # doctest: +SKIP
    Interval(value=0.785, low=0.746, high=0.822, n=456, groups=152)

    Raises UsageError on bad settings, DataError on bad data (both before the backbone is
    loaded), ModelError on a base that will not do.
    """
    config = _config(config, settings)
    folder = None if output is None else Path(output)
    if folder is not None:
        check_output(folder)
    started = time.perf_counter()
    checked = read_data(data, config, say)
    say(f"{checked.tally.rows:,} rows, {len(checked.pairs):,} pairs; {checked.check.summary()}")
    base = load_base(config, say)
    if folder is not None:
        check_space(folder, 2 * sum(path.stat().st_size for path in base.folder.iterdir()))
    tokens = tokenize(checked, base.renderer, config)
    model = RewardModel(base.engine.backbone, renderer=base.renderer)
    model.engine = base.engine
    dtype = base.precision.dtype
    say(f"{dtype} ({base.precision.reason}); {base.engine.packing}")
    cache = FeatureCache.open(base.weights, str(dtype), base.engine.packing.packed)
    search = search_layers(tokens, model, cache, config, say, progress)
    selection, of_rounds = _select(tokens, search)
    report = held_out_report(checked, tokens, search.features, selection, of_rounds)
    report.title = f"{folder or config.base}, trained on {checked.name}"
    head, used = _saved_head(tokens, search.features, selection, config)
    seconds = time.perf_counter() - started
    report.facts |= run_facts(tokens, search, selection, used, base.precision, config, seconds)
    _assemble(model, head, selection, tokens, used, search.features, config, report)
    if folder is not None:
        # bfloat16 was for the pass; the model is saved in the base's own precision.
        if dtype != torch.float32:
            model = with_stored_weights(model, base.folder, selection.layer)
        _save(model, report, folder, tokens)
    return Trained(model, report, folder)


def _save(model: RewardModel, report: Report, folder: Path, tokens: TokenizedPairs) -> None:
    """The model, its report and its card, whole or not at all."""
    report.facts["saved"] = str(folder)
    report.next_command = f"plaudit score {folder} DATA   (or: plaudit evaluate {folder} DATA)"
    prompts = len({pair.group for pair in tokens.pairs})
    length = model.renderer.max_length if model.renderer else 0
    with written_whole(folder) as scratch:
        model.save_pretrained(scratch)
        (scratch / "report.json").write_text(report.to_json() + "\n", encoding="utf-8")
        card = model_card(report, model.contract, prompts, length)
        (scratch / "README.md").write_text(card, encoding="utf-8")


def _config(config: TrainConfig | None, settings: dict[str, Any]) -> TrainConfig:
    known = [one.name for one in fields(TrainConfig)]
    if unknown := sorted(settings.keys() - set(known)):
        raise UsageError(f"train has no setting {', '.join(unknown)}; it takes {', '.join(known)}")
    if config is not None and settings:
        raise UsageError("give train a config or settings as keywords, not both")
    for name in ("columns", "label_values"):
        if not isinstance(settings.get(name), (str, Mapping, type(None))):
            raise UsageError(f"{name} is text or a mapping, found {settings[name]!r:.60}")
    return config or TrainConfig(**settings)


def _select(tokens: TokenizedPairs, search: LayerSearch) -> tuple[Selection, list[Selection]]:
    """Layer, ridge and temperature of the saved head, and of each round's measured head.

    One round's are the saved head's; of several, each selects on its own training pairs.
    """
    rounds = [tokens.train]
    if len(tokens.rounds) > 1:
        rounds += [one.train for one in tokens.rounds]
    every = np.arange(len(tokens.pairs))
    found = select_each(
        lambda layer: tokens.differences(search.features.layer(layer), every),
        search.layers,
        [(index, tokens.labels(index)) for index in rounds],
    )
    return found[0], found[1:] or found


def _saved_head(
    tokens: TokenizedPairs, features: Features, selection: Selection, config: TrainConfig
) -> tuple[Head, Integers]:
    used = tokens.train
    if config.refit and config.test is None:
        used = np.union1d(used, tokens.test)
    x = tokens.differences(features.layer(selection.layer), used)
    return fit(x, tokens.labels(used), selection), used


def _assemble(
    model: RewardModel,
    head: Head,
    selection: Selection,
    tokens: TokenizedPairs,
    used: Integers,
    features: Features,
    config: TrainConfig,
    report: Report,
) -> None:
    """Cut the backbone, set the head and its posterior, write what the contract needs."""
    values = features.layer(selection.layer)
    keep_layers(model.backbone, selection.layer)
    weight = torch.tensor(head.weight, dtype=torch.float32)[None]
    model.head.weight.data = weight.to(model.engine.device)
    center = values.mean(axis=0)
    model.posterior = Posterior(
        torch.tensor(head.factor, dtype=torch.float32).contiguous(), torch.from_numpy(center)
    )
    scores = values.astype(np.float64) @ head.weight
    digest = sha256()
    for pair in tokens.pairs:
        digest.update(f"{pair.a.id}{pair.b.id}{pair.p}{pair.weight}".encode())
    model.contract = {
        "base": config.base,
        "layer": selection.layer,
        "normalisation": {"mean": float(scores.mean()), "std": float(scores.std())},
        "calibration": {"temperature": selection.temperature, "folded": True},
        "ridge_prior_std": selection.prior_std,
        "data": {"pairs": len(tokens.pairs), "sha256": digest.hexdigest()},
        "training_prompts": sorted({_prompt_id(tokens.pairs[i]) for i in used}),
        "held_out": {name: _number(value) for name, value in report.numbers.items()},
    }


def _prompt_id(pair: Pair) -> str:
    return messages_id(pair.a.messages[:-1])


def _number(value: Interval | float) -> float | None:
    """What JSON can hold: None where there is no number."""
    found = value.value if isinstance(value, Interval) else float(value)
    return found if np.isfinite(found) else None
