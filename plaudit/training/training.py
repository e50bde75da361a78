"""`train`: DATA to a saved reward model and its Report, the backbone frozen.

In order: settings and data are checked before the backbone is loaded; the backbone runs once,
into the cache; layer, ridge and temperature are chosen on the training prompts alone; the
held-out prompts are scored by the head that never saw them; then the saved head is fitted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer

from plaudit.data import Tally, pairs_of, read, split
from plaudit.data.check import Doctor, Findings
from plaudit.errors import DataError, ModelError
from plaudit.evaluation.evaluation import held_out_sections, worst_mistakes
from plaudit.evaluation.metrics import judged, measure
from plaudit.evaluation.report import Curve, Report, Section
from plaudit.model.backbone import cut, depth, final_norm, layers_of
from plaudit.model.bases import base_folder, sha256_of
from plaudit.model.precision import Precision, race
from plaudit.model.renderer import Renderer
from plaudit.model.reward_model import Posterior, RewardModel
from plaudit.model.tree import Ids
from plaudit.settings import TrainConfig
from plaudit.statistics.bootstrap import Interval
from plaudit.training.features import FeatureCache, Features, row_tokens
from plaudit.training.head import PRIOR_STDS, Choice, Head, Labels, choose, fit, labels
from plaudit.training.pilot import candidate_layers, highest_contender, portions
from plaudit.types import Pair

__all__ = ["Trained", "train"]

Floats = NDArray[np.float64]
Say = Callable[[str], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Trained:
    """A trained model, where it was saved, and its Report."""

    model: RewardModel
    report: Report
    folder: Path | None


@dataclass(frozen=True)
class Material:
    """Pairs and which sequence each side is; train and test are indices of pairs."""

    pairs: list[Pair]
    side: NDArray[np.int64]  # [N, 2]
    sequences: list[Ids]
    train: NDArray[np.int64]
    test: NDArray[np.int64]

    def labels(self, index: NDArray[np.int64]) -> Labels:
        chosen = [self.pairs[i] for i in index]
        return labels(
            np.array([pair.p for pair in chosen]),
            np.array([pair.weight for pair in chosen]),
            np.array([pair.group for pair in chosen], dtype=np.str_),
        )

    def differences(self, features: NDArray[np.float32], index: NDArray[np.int64]) -> Floats:
        """[index, d] features of a minus those of b."""
        a, b = self.side[index].T
        result: Floats = features[a].astype(np.float64) - features[b]
        return result


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
    findings, pairs, held_out, tally = _read_checked(
        [data] if isinstance(data, str) else data, config
    )
    say(f"{tally.rows:,} rows, {len(pairs):,} pairs; {findings.summary()}")
    backbone, renderer, precision, weights = _load_base(config, say)
    material = _render(pairs, held_out, renderer, config, tally)
    model = RewardModel(backbone, renderer=renderer)
    say(f"{precision.dtype} ({precision.reason}); {model.packing}")
    cache = FeatureCache.open(weights, str(precision.dtype), model.packing.packed)
    features, choice, saved_share = _pass(material, model, cache, config, say, progress)
    report = _report(material, features, choice, tally, findings, config)
    head, used = _saved_head(material, features, choice, config)
    _facts(report, material, choice, used, precision, saved_share, config, started)
    _assemble(model, head, choice, material, features, config, report)
    folder = None
    if output is not None:
        folder = Path(output)
        # bfloat16 was for the pass; the model is saved in the base's own precision.
        if precision.dtype != torch.float32:
            model = _with_stored_weights(model, base_folder(config.base), choice.layer)
        model.save_pretrained(folder)
        (folder / "report.json").write_text(report.to_json() + "\n", encoding="utf-8")
        report.facts["saved"] = str(folder)
        report.next_command = f"plaudit score {folder} DATA   (or: plaudit evaluate {folder} DATA)"
    return Trained(model, report, folder)


# ------------------------------------------------------------------------------ the data


def _read_checked(
    data: Iterable[str], config: TrainConfig
) -> tuple[Findings, list[Pair], list[Pair] | None, Tally]:
    """Pairs for training and, with --test, held-out ones; stops on what the doctor refuses."""
    doctor, tally = Doctor(), Tally()
    pairs: list[Pair] = []
    for each in data:
        reading = read(each, config.format, config.columns, config.split)
        slates = doctor.watch(reading, "train")
        pairs += pairs_of(slates, tally)
    held_out = None
    if config.test is not None:
        slates = doctor.watch(read(config.test, config.format, config.columns), "test")
        held_out = pairs_of(slates, tally)
    findings = doctor.findings()
    findings.raise_if_fatal()
    if tally.rows + findings.unreadable:
        tally.dropped |= {"unreadable": findings.unreadable} if findings.unreadable else {}
    usable = [pair for pair in pairs if pair.a.turns != pair.b.turns]
    if len(usable) < len(pairs):
        tally.drop("identical replies", len(pairs) - len(usable))
    if len(usable) < 20 or len({pair.group for pair in usable}) < 10:
        raise DataError(
            f"{len(usable)} usable pairs over {len({p.group for p in usable})} prompts; "
            "at least 20 pairs over 10 prompts are needed, some hundreds to be of use"
        )
    return findings, usable, held_out, tally


def _render(
    pairs: list[Pair],
    held_out: list[Pair] | None,
    renderer: Renderer,
    config: TrainConfig,
    tally: Tally,
) -> Material:
    """Token ids of every distinct conversation, and the split by prompt."""
    everything = pairs + (held_out or [])
    conversations = {c.id: c for pair in everything for c in (pair.a, pair.b)}
    rendered = renderer.render(list(conversations.values()))
    cuts = sum(r.truncated for r in rendered)
    if cuts:
        tally.drop("conversations cut to --max-length (kept)", cuts)
    number: dict[bytes, int] = {}
    sequences: list[Ids] = []
    of: dict[str, int] = {}
    for key, one in zip(conversations, rendered, strict=True):
        ids = one.ids.tobytes()
        if ids not in number:
            number[ids] = len(sequences)
            sequences.append(one.ids)
        of[key] = number[ids]
    side = np.array([[of[pair.a.id], of[pair.b.id]] for pair in everything])
    different = side[:, 0] != side[:, 1]
    if not different.all():
        tally.drop("identical after rendering", int((~different).sum()))
    if held_out is None:
        sides = split(everything, config.test_share)
        if len(sides.set_aside):
            tally.drop("near both sides of the split, set aside", len(sides.set_aside))
        train, test = sides.train, sides.test
    else:
        train, test = np.arange(len(pairs)), np.arange(len(pairs), len(everything))
    train, test = train[different[train]], test[different[test]]
    if not len(test) or not len(train):
        raise DataError("one side of the split is empty: too few prompts, or all nearly alike")
    return Material(everything, side, sequences, train, test)


# ---------------------------------------------------------------------------- the backbone


def _load_base(config: TrainConfig, say: Say) -> tuple[Any, Renderer, Precision, str]:
    folder = base_folder(config.base, say)
    asked = None if config.dtype == "auto" else getattr(torch, config.dtype)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    values: Any = AutoModel.from_pretrained(folder, dtype="auto", use_safetensors=True)
    layers_of(values), final_norm(values)  # an encoder is refused here, by name
    shape = values.config
    precision = race(
        shape.hidden_size, getattr(shape, "intermediate_size", shape.hidden_size), asked
    )
    limit = getattr(shape, "max_position_embeddings", None) or config.max_length
    renderer = Renderer.of(tokenizer, min(config.max_length, limit))
    backbone = values.to(precision.dtype).eval().requires_grad_(False)
    return backbone, renderer, precision, sha256_of(*sorted(folder.glob("*.safetensors")))


def _with_stored_weights(model: RewardModel, folder: Path, layer: int) -> RewardModel:
    """The same model around the base's weights as they are stored."""
    backbone: Any = AutoModel.from_pretrained(folder, dtype="auto", use_safetensors=True).eval()
    cut(backbone, layer)
    stored = RewardModel(backbone, renderer=model.renderer)
    stored.packing = model.packing
    stored.head.weight.data = model.head.weight.data
    stored.posterior, stored.contract = model.posterior, model.contract
    return stored


def _layers(config: TrainConfig, full: int) -> list[int]:
    if config.layer == "auto":
        return candidate_layers(full)
    layer = full if config.layer == "last" else int(config.layer)
    if not 1 <= layer <= full:
        raise ModelError(f"--layer {layer}: the base has {full} layers")
    return [layer]


def _pass(
    material: Material,
    model: RewardModel,
    cache: FeatureCache,
    config: TrainConfig,
    say: Say,
    progress: Progress | None,
) -> tuple[Features, Choice, float]:
    """Run the backbone over what the cache lacks, giving up layers that cannot win.

    Returns the features, the choice on the training pairs, and the share of layer-tokens saved.
    """
    full = depth(model.backbone)
    layers = _layers(config, full)
    say(_estimate(material, model, cache, layers))
    order = _pilot_order(material)
    ends = list(portions(len(order))) if len(layers) > 1 else [len(order)]
    spent = whole = 0.0
    start = 0
    for end in ends:
        wanted = sorted(set(material.side[order[start:end]].ravel().tolist()))
        last = end == ends[-1]
        if last:  # the rest: what is in no training pair as well
            wanted = sorted(
                set(range(len(material.sequences)))
                - set(material.side[order[:start]].ravel().tolist())
            )
        part = [material.sequences[index] for index in wanted]
        cache.features(model.backbone, part, layers, model.packing.packed, progress)
        tokens = sum(map(len, part))
        spent, whole = spent + tokens * max(layers), whole + tokens * full
        start = end
        if not last:
            layers = _contenders(material, model, cache, layers, order[:end], say)
    features = cache.features(model.backbone, material.sequences, layers, model.packing.packed)
    given = material.labels(material.train)
    choice = choose(
        lambda layer: material.differences(features.layer(layer), material.train), layers, given
    )
    return features, choice, 1 - spent / max(whole, 1.0)


def _pilot_order(material: Material) -> NDArray[np.int64]:
    """Training pairs, shuffled by prompt so that a portion is a fair sample, seeded."""
    groups = [material.pairs[i].group for i in material.train]
    rank = [sha256(group.encode()).digest() for group in groups]
    return material.train[np.array(sorted(range(len(rank)), key=rank.__getitem__), dtype=np.int64)]


def _contenders(
    material: Material,
    model: RewardModel,
    cache: FeatureCache,
    layers: list[int],
    index: NDArray[np.int64],
    say: Say,
) -> list[int]:
    """The layers that may still win, judged on the training pairs run so far."""
    used = sorted(set(material.side[index].ravel().tolist()))
    part = cache.features(
        model.backbone, [material.sequences[i] for i in used], layers, model.packing.packed
    )
    position = np.zeros(len(material.sequences), dtype=np.int64)
    position[used] = np.arange(len(used))

    def differences(layer: int) -> Floats:
        values = part.layer(layer)
        a, b = position[material.side[index]].T
        result: Floats = values[a].astype(np.float64) - values[b]
        return result

    given = material.labels(index)
    top = highest_contender(choose(differences, layers, given), given)
    if top < max(layers):
        say(f"after {len(index):,} pairs: nothing above layer {top} can still win; it stops there")
    return [layer for layer in layers if layer <= top]


def _estimate(
    material: Material, model: RewardModel, cache: FeatureCache, layers: list[int]
) -> str:
    """About how long the pass takes, from one timed row of it.

    The pilot's conversations are needed at every candidate layer, the others at fewer.
    """
    order = _pilot_order(material)
    pilot = set(material.side[order[: next(portions(len(order)))]].ravel().tolist())
    missing = [
        ids
        for index, ids in enumerate(material.sequences)
        if not cache.holds(ids, layers if index in pilot or len(layers) == 1 else layers[:1])
    ]
    if not missing:
        return "all features are cached; the backbone does not run"
    tokens = row_tokens(missing) if model.packing.packed else sum(map(len, missing))
    sample = missing[: max(1, min(len(missing), 6))]
    started = time.perf_counter()
    cache.features(model.backbone, sample, layers, model.packing.packed)
    rate = (row_tokens(sample) if model.packing.packed else sum(map(len, sample))) / (
        time.perf_counter() - started
    )
    minutes = tokens / rate / 60
    cached = len(material.sequences) - len(missing)
    return (
        f"{len(missing):,} conversations to run ({cached:,} cached), {tokens:,} tokens: "
        f"at most about {minutes:.1f} minutes"
    )


# ------------------------------------------------------------------------------- the numbers


def _report(
    material: Material,
    features: Features,
    choice: Choice,
    tally: Tally,
    findings: Findings,
    config: TrainConfig,
) -> Report:
    """Held-out numbers of the head fitted on the training prompts alone."""
    values = features.layer(choice.layer)
    test_pairs = [material.pairs[i] for i in material.test]
    x_test = material.differences(values, material.test)
    report = Report(
        "Trained on a frozen backbone; held-out prompts", {}, dropped=dict(tally.dropped)
    )
    report.warnings += findings.warnings()
    points = []
    for index in _curve_parts(material):
        head = fit(
            material.differences(values, index),
            material.labels(index),
            choice.prior_std,
            choice.temperature,
        )
        points.append((len(index), judged(test_pairs, x_test @ head.weight)))
    final = points[-1][1]
    report.judged = final
    held_out_sections(report, final, test_pairs)
    report.mistakes = worst_mistakes(final, test_pairs)
    report.score_length = _score_length(material, values, head)
    report.sections.append(_curve_section(points, report))
    report.sections.append(_layer_section(choice))
    return report


def _score_length(
    material: Material, values: NDArray[np.float32], head: Head
) -> tuple[Floats, Floats]:
    """Characters and score of each held-out reply."""
    replies = [(material.pairs[i].a, material.pairs[i].b) for i in material.test]
    lengths = [len(reply.turns[-1].content) for pair in replies for reply in pair]
    scores = values[material.side[material.test].ravel()].astype(np.float64) @ head.weight
    return np.array(lengths, dtype=np.float64), scores


def _curve_parts(material: Material) -> list[NDArray[np.int64]]:
    """An eighth, a quarter, half and all of the training pairs, by prompt."""
    order = _pilot_order(material)
    sizes = sorted({max(10, len(order) // share) for share in (8, 4, 2, 1)})
    return [np.sort(order[:size]) for size in sizes]


def _curve_section(points: list[tuple[int, Any]], report: Report) -> Section:
    accuracy = [(n, measure(values, "accuracy")) for n, values in points]
    losses = [(n, measure(values, "log-loss")) for n, values in points]
    report.curves.append(
        Curve(
            "More labels",
            "training pairs",
            "held-out log-loss",
            [n for n, _ in losses],
            [v for _, v in losses],
        )
    )
    lines: list[Any] = [
        (f"{n:,} pairs", value, f"log-loss {loss.value:.3f}")
        for (n, value), (_, loss) in zip(accuracy, losses, strict=True)
    ]
    note = ""
    if len(losses) > 1:
        gain = losses[-2][1].value - losses[-1][1].value
        note = f"The last doubling changed log-loss by {-gain:+.3f}; " + (
            f"twice the labels may lower it by about {0.7 * gain:.3f} more."
            if gain > 0.002
            else "more of the same labels would bring little."
        )
    return Section("Held-out accuracy by training pairs", lines, note)


def _layer_section(choice: Choice) -> Section:
    lines: list[Any] = [
        (f"layer {r.layer}", r.loss, "chosen" if r.layer == choice.layer else "")
        for r in choice.results
    ]
    note = (
        f"Prior margin std {choice.prior_std:.2f} of {PRIOR_STDS[0]:.2f} to {PRIOR_STDS[-1]:.2f}."
    )
    return Section("Cross-validated log-loss (training prompts)", lines, note)


def _saved_head(
    material: Material, features: Features, choice: Choice, config: TrainConfig
) -> tuple[Head, NDArray[np.int64]]:
    used = material.train
    if config.refit and config.test is None:
        used = np.sort(np.concatenate([material.train, material.test]))
    x = material.differences(features.layer(choice.layer), used)
    return fit(x, material.labels(used), choice.prior_std, choice.temperature), used


def _facts(
    report: Report,
    material: Material,
    choice: Choice,
    used: NDArray[np.int64],
    precision: Precision,
    saved_share: float,
    config: TrainConfig,
    started: float,
) -> None:
    count = len({material.pairs[i].group for i in material.test})
    everyone = len(used) > len(material.train)
    report.facts |= {
        "base": f"{config.base}, cut at layer {choice.layer}",
        "trained on": f"{len(material.train):,} pairs",
        "held out": f"{len(material.test):,} pairs over {count:,} prompts, never chosen on",
        "saved head": (
            f"refitted on all {len(used):,} pairs; the numbers below are of the head before"
            if everyone
            else "the very head measured below"
        ),
        "temperature": f"{choice.temperature:.2f}, fitted out of fold and folded into the weights",
        "pass": f"{precision.dtype}; {saved_share:.0%} of all layers' work not done",
        "took": f"{time.perf_counter() - started:.0f} s",
    }
    if any(pair.strength is not None for pair in material.pairs):
        report.warnings.append(
            "strength (margin) is in the data, but the ranking loss does not use it"
        )


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
    cut(model.backbone, choice.layer)
    model.head.weight.data = torch.tensor(head.weight, dtype=torch.float32)[None]
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
