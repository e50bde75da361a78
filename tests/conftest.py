"""Fixtures: small random models of several families with a byte tokenizer, and a fake Scorer."""

import os
import zlib
from pathlib import Path

import numpy as np
import pytest

from plaudit.types import Conversation, Message, Scores

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
SHARED = Path(__file__).parents[2] / "shared" / "data"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + "
    "message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class FakeScorer:
    """Longer responses score higher; a response that says UNSCORABLE has no score."""

    def score(self, conversations):
        texts = [c.messages[-1].text for c in conversations]
        mean = np.array(
            [float(len(text)) / 50 + zlib.crc32(text.encode()) % 97 / 970 for text in texts]
        )
        problems = {i: "it says so" for i, text in enumerate(texts) if "UNSCORABLE" in text}
        mean[list(problems)] = np.nan
        return Scores(mean, None, problems)


class ConstantScorer:
    """Every response scores 0: a dead model."""

    def score(self, conversations):
        return Scores(np.zeros(len(conversations)))


@pytest.fixture
def fake_scorer():
    return FakeScorer()


@pytest.fixture
def constant_scorer():
    return ConstantScorer()


def byte_tokenizer(template=CHATML, bos=None):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(["<|im_start|>", "<|im_end|>", "<unused0>"])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|im_end|>", bos_token=bos
    )
    tokenizer.chat_template = template
    return tokenizer


def tiny_config(family):
    import transformers

    shape = {
        "vocab_size": 259,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 2048,
        "pad_token_id": 257,
        "eos_token_id": 257,
        "bos_token_id": None,
    }
    if family == "llama":
        return transformers.LlamaConfig(**shape, rope_parameters=_rope(100_000.0))
    if family == "qwen2":
        return transformers.Qwen2Config(**shape, rope_parameters=_rope(1_000_000.0))
    if family == "qwen3":
        return transformers.Qwen3Config(**shape, rope_parameters=_rope(1_000_000.0))
    if family == "mistral":
        return transformers.MistralConfig(
            **shape, sliding_window=24, rope_parameters=_rope(50_000.0)
        )
    if family == "gemma3":
        kinds = ["sliding_attention", "full_attention"] * 2
        return transformers.Gemma3TextConfig(
            **shape, sliding_window=24, layer_types=kinds, query_pre_attn_scalar=8
        )
    if family == "gemma2":
        return transformers.Gemma2Config(**shape, sliding_window=24, query_pre_attn_scalar=8)
    raise KeyError(family)


def _rope(base):
    return {"rope_type": "default", "rope_theta": base}


FAMILIES = ("llama", "qwen3", "mistral", "gemma3", "gemma2")


def tiny_backbone(family="llama", seed=0):
    import torch
    from transformers import AutoModel

    torch.manual_seed(seed)
    return AutoModel.from_config(tiny_config(family), dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """A folder with a small random Llama and its tokenizer: a base to train on."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("base")
    import torch

    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(tiny_config("llama"), dtype=torch.float32).save_pretrained(
        folder
    )
    byte_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Features of tests never land in the user's cache."""
    monkeypatch.setenv("PLAUDIT_FEATURES", str(tmp_path_factory.mktemp("features")))


def talk(*texts):
    """A conversation of user and assistant in turn."""
    roles = ("user", "assistant")
    return Conversation(tuple(Message(roles[i % 2], text) for i, text in enumerate(texts)))
