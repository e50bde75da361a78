"""Why another engine or another day could score a model otherwise: tokens, templates, limits.

One function per reason. Sizes are differences of scores on the golden conversations, in the
model's own units.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification

from plaudit.model.download import quiet_transformers
from plaudit.model.golden import GOLDEN
from plaudit.model.loading import length_limit
from plaudit.model.patient import Check, Finding, Patient, gap_of
from plaudit.model.renderer import clock_of, prints_today

ANOTHER_DAY = date(2031, 3, 9)
SMALLEST_GAP = 1e-4
# Above this many parameters the model is not loaded a second time to measure a difference.
TWICE = 300_000_000


# ---------------------------------------------------------------------------------- the tokens


def pad_token(patient: Patient) -> Iterator[Finding]:
    """No pad token, one that ends a text, or another in the tokenizer than in the config."""
    renderer = patient.decoder
    if renderer is None or patient.checkpoint is None:
        return
    pad, own = patient.checkpoint.classifier.config.get_text_config().pad_token_id, None
    own = patient.tokenizer.pad_token_id
    if pad is None:
        yield Finding(
            "no pad token",
            "no pad_token_id in config.json: transformers refuses batches, TRL takes the end token",
            ("transformers", "TRL"),
            "give tokenizer and config a pad token of its own, which no text can end with",
        )
        return
    ids = patient.golden()
    if any(int(one[-1]) == pad for one in ids):
        _, size = gap_of(patient.scores, patient.score_at_end(ids))
        yield Finding(
            "pad token equal to the end token",
            f"texts end with {patient.token(pad)!r}, which is the pad token: transformers skips it "
            "and reads the token before, other engines read it",
            ("vLLM", "SGLang", "OpenRLHF"),
            "score it with transformers or plaudit, or train it again with a pad token of its own",
            size,
            wrong=True,
        )
    if own is not None and own != pad:
        padded = [np.concatenate([one, [own, own]]) for one in ids]
        _, size = gap_of(patient.scores, patient.score(padded))
        yield Finding(
            "two pad tokens",
            f"the tokenizer pads with {patient.token(own)!r}, the model skips "
            f"{patient.token(pad)!r}: in a padded batch the padding is scored",
            ("transformers", "TRL"),
            "write the tokenizer's pad_token_id into config.json",
            size,
            wrong=True,
        )


def special_tokens_again(patient: Patient) -> Iterator[Finding]:
    """Text that the template has rendered, tokenised again with special tokens."""
    renderer = patient.decoder
    if renderer is None:
        return
    ids = patient.golden()
    texts = [patient.tokenizer.decode(one, skip_special_tokens=False) for one in ids]
    plain, again = (
        patient.tokenizer(texts, add_special_tokens=added)["input_ids"] for added in (False, True)
    )
    if plain == again:
        return
    doubled = again[0][:2] == [patient.tokenizer.bos_token_id] * 2
    gap, size = gap_of(
        patient.score([np.array(one) for one in plain]),
        patient.score([np.array(one) for one in again]),
    )
    if gap > SMALLEST_GAP:
        yield Finding(
            "begin token doubled" if doubled else "special tokens added to rendered text",
            "text that the template has rendered gets special tokens again from the tokenizer",
            ("vLLM /classify with text", "transformers' pipeline", "SGLang with text"),
            "send token ids or messages, or add_special_tokens=false with text",
            size,
        )


def after_the_end_token(patient: Patient) -> Iterator[Finding]:
    """Tokens that the template puts behind the end token, and generation does not."""
    if patient.decoder is None or patient.template is None:
        return
    ids = patient.golden()
    added = patient.tokenizer.added_tokens_decoder
    special = [index for index, token in added.items() if token.special]
    ends = [np.flatnonzero(np.isin(one, special)) for one in ids]
    tails = [int(places[-1]) if len(places) else -1 for places in ends]
    behind = [len(one) - 1 - tail for one, tail in zip(ids, tails, strict=True)]
    if not all(tail >= 0 and 0 < rest <= 4 for tail, rest in zip(tails, behind, strict=True)):
        return
    shorter = [one[: tail + 1] for one, tail in zip(ids, tails, strict=True)]
    tail = patient.tokenizer.decode(ids[0][tails[0] + 1 :])
    yield Finding(
        "newline after the end token" if not tail.strip() else "text after the end token",
        f"the template writes {tail!r} behind the end token, where the score is read; text as a "
        "policy generated it ends before",
        ("OpenRLHF", "clients that send generated text"),
        "send messages, not generated text; a model saved by plaudit ends with the end token",
        gap_of(patient.score_at_end(ids), patient.score_at_end(shorter))[1],
    )


def template(patient: Patient) -> Iterator[Finding]:
    """No template, or several of which one has to be named."""
    found, problem = patient.template, patient.problem
    if patient.tokenizer is None or (patient.checkpoint and patient.decoder is None):
        return
    if found is None:
        yield Finding(
            "no chat template",
            "plaudit reads conversations as plain text (User: … Assistant: …); others refuse them",
            ("TRL", "verl", "vLLM with messages"),
            "add the chat_template.jinja that the model was trained with",
            wrong=True,
        )
    elif isinstance(found, dict):
        yield Finding(
            "several chat templates",
            f"the tokenizer has {', '.join(found)}",
            ("plaudit", "TRL", "vLLM"),
            "name the one that the model was trained with (--template NAME), or keep that one only",
            wrong="default" not in found and problem is not None,
            stops="default" not in found,
        )


def date_in_template(patient: Patient) -> Iterator[Finding]:
    """A template that prints today's date, or anything else that changes by itself."""
    renderer, found = patient.decoder, patient.template
    if renderer is None or not isinstance(found, str):
        return
    if prints_today(found):
        later = copy.deepcopy(renderer.tokenizer)
        later.chat_template = clock_of(ANOTHER_DAY) + found
        scores = patient.score_at_end(patient.golden(tokenizer=later))
        gap, size = gap_of(patient.score_at_end(patient.golden()), scores)
        yield Finding(
            "date in the template",
            "the template prints today's date: other engines score otherwise on every day",
            ("TRL", "verl", "vLLM", "transformers"),
            "write a fixed date into chat_template.jinja (plaudit pins it, also when it saves)",
            size,
            wrong=gap > SMALLEST_GAP,
        )
    elif any(
        len({tuple(one) for one in again}) > 1
        for again in zip(*(patient.golden() for _ in range(4)), strict=True)
    ):
        yield Finding(
            "template is not deterministic",
            "the same conversation is rendered to other tokens each time",
            ("all",),
            "take the random part out of chat_template.jinja",
            wrong=True,
        )


# --------------------------------------------------------------------------- other versions, limits


def rotary_base(patient: Patient) -> Iterator[Finding]:
    """Rotary settings where transformers 4 does not look for them."""
    config, checkpoint = patient.config, patient.checkpoint
    rope = config.get("rope_parameters")
    if not isinstance(rope, dict) or checkpoint is None or "rope_theta" in config:
        return
    rope = rope.get("full_attention", rope)
    default = _default_rope(checkpoint.classifier.config)
    scaled = rope.get("rope_type", "default") != "default" and "rope_scaling" not in config
    if rope.get("rope_theta") in (None, default.get("rope_theta")) and not scaled:
        return
    yield Finding(
        "rotary base lost in transformers 4",
        f"config.json has rope_parameters (base {rope.get('rope_theta'):g}) and no rope_theta: "
        f"transformers 4 and engines on it take {default.get('rope_theta', 1e4):g}",
        ("transformers 4.57", "vLLM and SGLang on transformers 4"),
        f'write "rope_theta": {rope.get("rope_theta")} into config.json beside rope_parameters',
        _gap_without_rope(patient, default),
        wrong=True,
    )


def _default_rope(config: Any) -> dict[str, Any]:
    rope = getattr(type(config)(), "rope_parameters", None) or {}
    found: dict[str, Any] = rope.get("full_attention", rope)
    return found


def _gap_without_rope(patient: Patient, default: dict[str, Any]) -> str:
    assert patient.checkpoint is not None
    model = patient.checkpoint.classifier
    if patient.decoder is None or sum(p.numel() for p in model.parameters()) > TWICE:
        return ""
    config = AutoConfig.from_pretrained(patient.folder, trust_remote_code=False)
    config.rope_parameters = {"rope_type": "default"} | default
    with quiet_transformers():
        other = AutoModelForSequenceClassification.from_pretrained(
            patient.folder, config=config, dtype=torch.float32, trust_remote_code=False
        )
    return gap_of(patient.scores, patient.score(patient.golden(), other.eval()))[1]


def tokenizer_versions(patient: Patient) -> Iterator[Finding]:
    """What transformers 4 refuses of a tokenizer, or reads otherwise."""
    settings = patient.tokenizer_config
    if settings.get("tokenizer_class") == "TokenizersBackend":
        yield Finding(
            "tokenizer class that transformers 4.57 refuses",
            "tokenizer_class is TokenizersBackend, which only transformers 5 has",
            ("transformers 4.57", "vLLM and SGLang on transformers 4"),
            'write "tokenizer_class": "PreTrainedTokenizerFast" into tokenizer_config.json',
        )
    elif isinstance(settings.get("extra_special_tokens"), list):
        yield Finding(
            "tokenizer settings that transformers 4.57 refuses",
            "extra_special_tokens is a list",
            ("transformers 4.57",),
            "rename it to additional_special_tokens in tokenizer_config.json",
        )
    path = patient.folder / "tokenizer.json"
    if patient.tokenizer is None:
        return
    if not path.exists():
        yield Finding(
            "no fast tokenizer",
            "there is no tokenizer.json: plaudit cannot cut long texts, and TEI does not load it",
            ("plaudit", "TEI"),
            "save the tokenizer with transformers 5, which writes tokenizer.json",
        )
        return
    texts = [message.text for conversation in GOLDEN for message in conversation.messages]
    stored = Tokenizer.from_file(str(path)).encode_batch(texts, add_special_tokens=False)
    read = patient.tokenizer(texts, add_special_tokens=False)["input_ids"]
    if [one.ids for one in stored] != [list(one) for one in read]:
        yield Finding(
            "tokenizer.json is read otherwise",
            f"transformers 5 makes {type(patient.tokenizer).__name__} of it, with rules of its "
            "own; transformers 4 reads it as it stands",
            ("transformers 4.57", "engines on the tokenizers library"),
            "save the tokenizer again with the version that the model was trained with",
            wrong=True,
        )


def limits(patient: Patient) -> Iterator[Finding]:
    """Longer texts than there are positions for."""
    if patient.checkpoint is None:
        return
    limit = length_limit(patient.checkpoint.classifier)
    named = patient.tokenizer_config.get("model_max_length")
    positions = patient.checkpoint.classifier.config.get_text_config().to_dict()
    stated = positions.get("max_position_embeddings") or limit
    most = max([stated, *([named] if isinstance(named, int) and named < 1e9 else [])])
    if most > limit:
        yield Finding(
            "positions beyond the limit",
            f"{limit:,} tokens have a position, and {most:,} are stated",
            ("vLLM", "transformers with truncation=True"),
            f'write "model_max_length": {limit} into tokenizer_config.json',
        )
    if patient.decoder and patient.tokenizer_config.get("truncation_side") == "right":
        yield Finding(
            "cut on the right",
            "truncation_side is right: engines that cut lose the end of the response",
            ("OpenRLHF", "LLaMA-Factory"),
            'write "truncation_side": "left" into tokenizer_config.json',
        )


OF_TOKENS: tuple[Check, ...] = (
    pad_token,
    special_tokens_again,
    after_the_end_token,
    template,
    date_in_template,
    rotary_base,
    tokenizer_versions,
    limits,
)
