"""Tiny random sequence classifiers of many families, and the tokenizers and templates around them.

Their weights are scaled up, so that scores of different texts differ visibly.
"""

import shutil

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIALS = ("<pad>", "<unk>", "<bos>", "<end>", "<turn>")
PAD, UNK, BOS, END, TURN = range(256, 261)
VOCABULARY = 261
BODY = "{{ bos_token }}{% for m in messages %}{{ '<turn>' + m['role'] + '\\n' + m['content'] }}"
# Where a text ends: at the end token, at the newline that many templates put after it, or bare.
ENDINGS = {
    "end token": BODY + "{{ eos_token }}{% endfor %}",
    "newline": BODY + "{{ eos_token + '\\n' }}{% endfor %}",
    "none": BODY + "{% endfor %}",
}
# The pad token of (config, tokenizer).
PADS = {
    "own": (PAD, "<pad>"),
    "the end token": (END, "<end>"),
    "the unknown token": (UNK, "<unk>"),
    "only in the config": (PAD, None),
    "only in the tokenizer": (None, "<pad>"),
    "none": (None, None),
}
SHAPE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
GROUPED = SHAPE | {"num_key_value_heads": 2}
WIDE = GROUPED | {"head_dim": 8}
GEMMA = WIDE | {"query_pre_attn_scalar": 8, "sliding_window": 24}
KINDS = {"layer_types": ["sliding_attention", "full_attention"]}
GPT2 = {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
# Family: (transformers' names without "ForSequenceClassification" and "Config", settings).
DECODERS = {
    "llama": ("Llama", "Llama", GROUPED),
    "mistral": ("Mistral", "Mistral", GROUPED | {"sliding_window": 24}),
    "qwen2": ("Qwen2", "Qwen2", GROUPED),
    "qwen3": ("Qwen3", "Qwen3", WIDE),
    "qwen3-moe": (
        "Qwen3Moe",
        "Qwen3Moe",
        WIDE | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
    ),
    "gemma": ("Gemma", "Gemma", WIDE),
    "gemma2": ("Gemma2", "Gemma2", GEMMA),
    "gemma3": ("Gemma3Text", "Gemma3Text", GEMMA | KINDS),
    "phi": ("Phi", "Phi", GROUPED),
    "phi3": ("Phi3", "Phi3", GROUPED),
    "olmo2": ("Olmo2", "Olmo2", GROUPED),
    "smollm3": ("SmolLM3", "SmolLM3", GROUPED | {"num_hidden_layers": 4}),
    "gpt2": ("GPT2", "GPT2", GPT2),
    "gpt-neox": ("GPTNeoX", "GPTNeoX", SHAPE),
    "gptj": ("GPTJ", "GPTJ", GPT2 | {"rotary_dim": 4}),
    "falcon": ("Falcon", "Falcon", SHAPE),
    "bloom": ("Bloom", "Bloom", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mpt": (
        "Mpt",
        "Mpt",
        {"vocab_size": VOCABULARY, "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 512},
    ),
    "opt": ("OPT", "OPT", SHAPE | {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "glm4": ("Glm4", "Glm4", WIDE),
    "stablelm": ("StableLm", "StableLm", GROUPED),
    "starcoder2": ("Starcoder2", "Starcoder2", GROUPED),
    "gpt-oss": (
        "GptOss",
        "GptOss",
        WIDE | {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 24} | KINDS,
    ),
}  # fmt: skip
ENCODER = SHAPE | {"num_labels": 1, "pad_token_id": PAD, "type_vocab_size": 2}
ENCODERS = {
    "bert": ("Bert", "Bert", ENCODER),
    "roberta": ("Roberta", "Roberta", ENCODER | {"pad_token_id": 1, "max_position_embeddings": 514}),
    "deberta": (
        "DebertaV2",
        "DebertaV2",
        ENCODER
        | {"relative_attention": True, "position_buckets": 32, "pos_att_type": ["p2c", "c2p"]},
    ),
    "modernbert": (
        "ModernBert",
        "ModernBert",
        ENCODER | {"cls_token_id": BOS, "sep_token_id": END, "bos_token_id": BOS, "eos_token_id": END},
    ),
}  # fmt: skip


def classifier(family, **settings):
    """transformers' own class of a family with random weights, in evaluation mode."""
    name, config_name, shape = (DECODERS | ENCODERS)[family]
    ids = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": END}
    config = getattr(transformers, f"{config_name}Config")(
        **ids | shape | {"num_labels": 1} | settings
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}ForSequenceClassification")(config).eval()
    return scaled(model)


def scaled(model, factor=6.0):
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(factor)
    return model


def chat_tokenizer(template=ENDINGS["end token"], pad="<pad>", **settings):
    """One token per byte, five special ones, and a chat template."""
    core = _bytes()
    core.add_special_tokens(list(SPECIALS))
    settings = {"bos_token": "<bos>", "eos_token": "<end>", "unk_token": "<unk>"} | settings
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token=pad, **settings)
    tokenizer.chat_template = template
    return tokenizer


def encoder_tokenizer(pad="<pad>"):
    """One token per byte between [CLS] and [SEP], which it writes itself; no chat template."""
    core = _bytes()
    core.add_special_tokens(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", BOS), ("[SEP]", END)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=pad,
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def _bytes():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return core


def save(folder, model, tokenizer):
    """A folder as transformers writes it."""
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


def copied(folder, target):
    """A folder whose small files may be changed; the weights are linked."""
    shutil.copytree(folder, target, copy_function=_link_weights)
    return target


def _link_weights(source, target):
    if source.endswith(".safetensors"):
        shutil.os.link(source, target)
    else:
        shutil.copy2(source, target)
