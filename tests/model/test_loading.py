"""What cannot be loaded is refused in one line; adapters, code, biases, heads and templates."""

import io
import json
import shutil
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, BertForMaskedLM, LlamaForCausalLM

import plaudit
from plaudit.cli.main import main
from plaudit.errors import CheckpointError, ModelError
from plaudit.model.adapters import merged_folder
from plaudit.model.loading import load_backbone

from ..conftest import talk
from .families import (
    BODY,
    ENDINGS,
    PAD,
    chat_tokenizer,
    classifier,
    copied,
    encoder_tokenizer,
    save,
    scaled,
)

CHATS = [talk("q", "a"), talk("another question", "a longer answer"), talk("a", "b", "c", "d")]
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 988097824\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sound Qwen2 reward model, as transformers saves it."""
    return save(tmp_path_factory.mktemp("whole") / "rm", classifier("qwen2"), chat_tokenizer())


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))


def config(folder, **values):
    path = folder / "config.json"
    settings = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in settings.items() if v is not ...}))


def weights(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    path.unlink()
    save_file(change(tensors), path, metadata={"format": "pt"})


def renamed(**names):
    return lambda tensors: {names.get(key.replace(".", "_"), key): v for key, v in tensors.items()}


def prefixed(prefix):
    return lambda tensors: {prefix + key: value for key, value in tensors.items()}


def rewritten(folder, name, text):
    (folder / name).unlink(missing_ok=True)
    (folder / name).write_text(text)


def halved(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def without_a_shard(folder):
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    shards = {f"model.{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    index = {"metadata": {}, "weight_map": shards}
    rewritten(folder, "model.safetensors.index.json", json.dumps(index))


def without_an_index(folder):
    without_a_shard(folder)
    rewritten(folder, "model.safetensors.index.json", "{}")


def without_tokenizer(folder):
    for path in [*folder.glob("token*"), folder / "chat_template.jinja"]:
        path.unlink()


def pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def two_layers(tensors):
    head = tensors.pop("score.weight")
    return tensors | {"score.0.weight": torch.zeros(32, 32), "score.2.weight": head}


# Name: (what is done to a sound folder, the file that is named, what is wrong and what to do).
BROKEN = {
    "a Git LFS pointer": (
        lambda f: rewritten(f, "model.safetensors", LFS),
        "model.safetensors",
        "not a whole safetensors file.* download or save it again",
    ),
    "cut weights": (halved, "model.safetensors", "not a whole safetensors file.* download or save"),
    "empty weights": (
        lambda f: rewritten(f, "model.safetensors", ""),
        "model.safetensors",
        "not a whole safetensors file.* download or save",
    ),
    "a missing shard": (
        without_a_shard,
        "model-00002-of-00002.safetensors",
        "is missing, but model.safetensors.index.json lists it: download it again",
    ),
    "an empty index": (without_an_index, "index.json", "lists no shards.*download it again"),
    "pickled weights": (pickled, "rm", "no .safetensors file.* save_pretrained"),
    "no config": (lambda f: (f / "config.json").unlink(), "rm", "has no config.json"),
    "a config that is no JSON": (
        lambda f: rewritten(f, "config.json", "{"),
        "config.json",
        "is not valid JSON",
    ),
    "a config that is a list": (
        lambda f: rewritten(f, "config.json", "[]"),
        "config.json",
        "is not a JSON object",
    ),
    "an unknown model type": (
        lambda f: config(f, model_type="internlm2"),
        "config.json",
        "'internlm2' is unknown to transformers.* take the config.json",
    ),
    "no model type": (
        lambda f: config(f, model_type=...),
        "config.json",
        "no model_type for transformers.* take the config.json",
    ),
    "no labels": (
        lambda f: config(f, id2label=..., label2id=..., num_labels=...),
        "config.json",
        'no labels.*write "id2label"',
    ),
    "two labels": (
        lambda f: config(f, id2label={"0": "BAD", "1": "GOOD"}),
        "config.json",
        r"2 labels \(BAD, GOOD\); a reward model has one",
    ),
    "quantised weights": (
        lambda f: config(f, quantization_config={"quant_method": "gptq", "bits": 4}),
        "config.json",
        "quantised weights .gptq.*dequantise the model",
    ),
    "another width": (
        lambda f: config(f, hidden_size=64),
        "rm",
        "the weights lack|cannot make this model",
    ),
    "another head": (
        lambda f: weights(f, renamed(score_weight="value_head.weight")),
        "rm",
        "lack score.weight .it has value_head.weight.*rename the tensors",
    ),
    "a head of two layers": (
        lambda f: weights(f, two_layers),
        "rm",
        "lack score.weight .it has score.0.weight",
    ),
    "a prefix of peft": (
        lambda f: weights(f, prefixed("base_model.model.")),
        "rm",
        "the weights lack.*rename the tensors",
    ),
    "a prefix of torch.compile": (
        lambda f: weights(f, prefixed("_orig_mod.")),
        "rm",
        "the weights lack.*rename the tensors",
    ),
    "no tokenizer": (without_tokenizer, "rm", "has no tokenizer.*copy the files"),
    "a torn tokenizer": (
        lambda f: rewritten(f, "tokenizer.json", '{"version": "1.0", "mod'),
        "rm",
        "no tokenizer that transformers can load.*copy the tokenizer's files",
    ),
    "a template that is none": (
        lambda f: rewritten(f, "chat_template.jinja", "{% for m in messages %}{{ m.content }"),
        "rm",
        "the chat template refuses the messages",
    ),
    "a template that refuses all": (
        lambda f: rewritten(f, "chat_template.jinja", "{{ raise_exception('Only tools') }}"),
        "rm",
        "the chat template refuses the messages.*Only tools",
    ),
    "an unknown activation": (
        lambda f: config(f, hidden_act="swishlu"),
        "config.json",
        "cannot make this model: .*swishlu",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_one_line(tmp_path, whole, name, capfd, monkeypatch):
    breaks, file, says = BROKEN[name]
    folder = copied(whole, tmp_path / "rm")
    breaks(folder)
    with pytest.raises(ModelError, match=says) as caught:
        plaudit.load(str(folder), "float32")
    line = str(caught.value)
    assert "\n" not in line
    assert f"{folder}" in line
    assert file in line

    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "q", "response": "a"}\n')
    capfd.readouterr()
    monkeypatch.setattr(sys, "argv", ["plaudit", "score", str(folder), str(rows)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    printed = capfd.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [f"plaudit: {line}"]


@pytest.mark.parametrize(
    "contract",
    ["{}", '{"files": 3}', '{"renderer": {"fingerprint": "x"}, "files": {}}', "[]", "{"],
)
def test_a_contract_that_is_none_is_not_taken_for_no_contract(tmp_path, whole, contract):
    folder = copied(whole, tmp_path / "rm")
    (folder / "plaudit.json").write_text(contract)
    with pytest.raises(CheckpointError, match="plaudit.json (is not|.*not valid JSON)"):
        plaudit.load(str(folder))


def test_what_transformers_own_class_cannot_score_is_one_line(tmp_path, whole):
    folder = copied(whole, tmp_path / "rm")
    config(folder, num_key_value_heads=3)
    with pytest.raises(CheckpointError) as caught:
        plaudit.load(str(folder))
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------- adapters


@pytest.fixture
def base(tmp_path):
    settings = classifier("llama").config
    torch.manual_seed(1)
    return save(tmp_path / "base", scaled(LlamaForCausalLM(settings)).eval(), chat_tokenizer())


def adapter(folder, base, task="SEQ_CLS", tokenizer=True):
    """A random LoRA adapter of a base, and peft's model of it."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSequenceClassification

    if task == "SEQ_CLS":
        model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    else:
        model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(2)
    tuned = get_peft_model(
        model, LoraConfig(task_type=task, r=4, target_modules=["q_proj", "v_proj"])
    )
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name or "score" in name:
                parameter.normal_(std=0.3)
    tuned.save_pretrained(folder)
    if tokenizer:
        chat_tokenizer().save_pretrained(folder)
    return tuned.eval()


@torch.no_grad()
def test_an_adapter_is_merged_and_scores_as_peft(tmp_path, base):
    tuned = adapter(tmp_path / "rm", base)
    tokenizer = chat_tokenizer()
    rows = [tokenizer.apply_chat_template(c.chat(), return_dict=False) for c in CHATS]
    expected = [tuned(torch.tensor([ids])).logits.item() for ids in rows]
    scores = plaudit.load(str(tmp_path / "rm"), "float32").score(CHATS).mean
    assert scores == pytest.approx(expected, abs=1e-4)
    merged = list((tmp_path / "cache" / "merged").iterdir())
    assert plaudit.load(str(tmp_path / "rm"), "float32").score(CHATS).mean == pytest.approx(scores)
    assert list((tmp_path / "cache" / "merged").iterdir()) == merged  # once


@torch.no_grad()
def test_an_adapter_is_a_base_and_its_cache_knows_adapter_and_base(tmp_path, base):
    tuned = adapter(tmp_path / "tuned", base, "CAUSAL_LM")
    folder = merged_folder(tmp_path / "tuned", classifier=False)
    ids = torch.tensor([[258, 70, 71, 72]])
    merged = load_backbone(folder)(ids).last_hidden_state
    assert torch.allclose(merged, tuned.model.model(ids).last_hidden_state, atol=1e-5)
    weights(base, lambda tensors: {k: v * 1.5 for k, v in tensors.items()})
    assert merged_folder(tmp_path / "tuned", classifier=False) != folder


def test_an_adapter_that_cannot_be_merged_is_one_line(tmp_path, base):
    adapter(tmp_path / "rm", base)
    with pytest.raises(CheckpointError, match="an adapter of task SEQ_CLS; a base's is CAUSAL_LM"):
        merged_folder(tmp_path / "rm", classifier=False)
    adapter(tmp_path / "tuned", base, "CAUSAL_LM")
    with pytest.raises(CheckpointError, match="without a head to score with"):
        plaudit.load(str(tmp_path / "tuned"))
    rewritten(tmp_path / "rm", "adapter_model.safetensors", LFS)
    with pytest.raises(CheckpointError, match="adapter_model.safetensors: not a whole"):
        plaudit.load(str(tmp_path / "rm"))
    settings = tmp_path / "rm" / "adapter_config.json"
    settings.write_text(settings.read_text().replace(str(base), str(base) + "-gone"))
    with pytest.raises(CheckpointError, match=r"adapter_config.json: its base model .*-gone.*need"):
        plaudit.load(str(tmp_path / "rm"))


def test_an_adapter_without_a_head_would_score_at_random(tmp_path, base):
    adapter(tmp_path / "rm", base)
    path = tmp_path / "rm" / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if "score" not in k}, path)
    with pytest.raises(CheckpointError, match="holds a head.*modules_to_save"):
        plaudit.load(str(tmp_path / "rm"))


def test_an_adapter_beside_whole_weights_is_refused(tmp_path, whole, base):
    folder = copied(whole, tmp_path / "rm")
    adapter(tmp_path / "adapter", base)
    shutil.copy(tmp_path / "adapter" / "adapter_config.json", folder)
    with pytest.raises(CheckpointError, match="holds whole weights and an adapter"):
        plaudit.load(str(folder))


# ------------------------------------------------------------------------------------ code


@pytest.mark.parametrize("place", ["model", "known model", "tokenizer", "adapter's base"])
def test_code_in_a_folder_is_never_run(tmp_path, whole, base, place, monkeypatch):
    trap = tmp_path / "EXECUTED"
    code = f"open({str(trap)!r}, 'w')\n"
    folder = copied(whole, tmp_path / "rm")
    if place == "adapter's base":
        adapter(tmp_path / "adapter", base)
    target = base if place == "adapter's base" else folder
    (target / "own.py").write_text(code)
    if place == "tokenizer":
        path = folder / "tokenizer_config.json"
        settings = json.loads(path.read_text())
        settings |= {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tokenizer_class": "Own"}
        path.write_text(json.dumps(settings))
    else:
        own = {"AutoConfig": "own.Own", "AutoModelForSequenceClassification": "own.Own"}
        kind = {} if place == "known model" else {"model_type": "mine"}
        config(target, auto_map=own | {"AutoModel": "own.Own"}, **kind)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 9))
    name = tmp_path / "adapter" if place == "adapter's base" else folder
    with pytest.raises(CheckpointError) as caught:
        plaudit.load(str(name))
    assert "\n" not in str(caught.value)
    assert not trap.exists()


# ----------------------------------------------------------------------- biases, templates


def test_a_bias_is_named_and_a_zero_one_is_not(tmp_path, whole):
    plain = plaudit.load(str(whole), "float32").score(CHATS).mean
    for bias, named in ((5.0, True), (0.0, False)):
        folder = copied(whole, tmp_path / f"{bias}")
        weights(folder, lambda tensors, b=bias: tensors | {"score.bias": torch.tensor([b])})
        scorer = plaudit.load(str(folder), "float32")
        assert scorer.score(CHATS).mean == pytest.approx(plain)
        assert any("score.bias is 5" in note for note in scorer.notes) == named
        assert bool(scorer.notes) == named


def test_what_is_not_read_of_the_weights_is_said(tmp_path, whole):
    folder = copied(whole, tmp_path / "rm")
    weights(folder, lambda tensors: tensors | {"critic.weight": torch.ones(3)})
    notes = plaudit.load(str(folder), "float32").notes
    assert notes == ("the tensor critic.weight is not part of the model and is not read",)


def test_no_template_is_said_and_a_plain_one_may_be_asked_for(tmp_path, whole):
    folder = copied(whole, tmp_path / "rm")
    (folder / "chat_template.jinja").unlink()
    scorer = plaudit.load(str(folder), "float32")
    assert scorer.notes[0].startswith("no chat template: the conversation is read as plain text")
    text = scorer.renderer.tokenizer.decode(scorer.renderer.render(CHATS[:1])[0].ids)
    assert text == "User: q\n\nAssistant: a"
    with pytest.raises(ModelError, match="--template rag.*has no named templates"):
        plaudit.load(str(folder), template="rag")


def test_one_of_several_templates_has_to_be_named(tmp_path, whole):
    folder = copied(whole, tmp_path / "rm")
    chat_tokenizer({"tool_use": ENDINGS["newline"], "rag": BODY + "!{% endfor %}"}).save_pretrained(
        folder
    )
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"choose one with --template (rag|tool_use) \| "):
        plaudit.load(str(folder), "float32")
    scorer = plaudit.load(str(folder), "float32", template="rag")
    ids = scorer.renderer.render(CHATS[:1])[0].ids
    assert scorer.renderer.tokenizer.decode(ids).endswith("a!")
    with pytest.raises(ModelError, match="no 'other': choose one with --template"):
        plaudit.load(str(folder), template="other")


def test_a_default_template_among_several_is_taken(tmp_path, whole):
    folder = copied(whole, tmp_path / "rm")
    chat_tokenizer({"default": ENDINGS["end token"], "rag": "{{ 1 }}"}).save_pretrained(folder)
    one = plaudit.load(str(folder), "float32").score(CHATS).mean
    assert one == pytest.approx(plaudit.load(str(whole), "float32").score(CHATS).mean)


# ------------------------------------------------------------------------------------ bases


def test_an_encoder_is_refused_as_a_base_for_what_it_is(tmp_path):
    model = BertForMaskedLM(classifier("bert").config)
    folder = save(tmp_path / "base", model, encoder_tokenizer())
    with pytest.raises(ModelError, match="BertForSequenceClassification is an encoder"):
        load_backbone(folder)


def test_a_base_without_a_sequence_classifier_is_refused_before_its_weights_are_read(tmp_path):
    from transformers import GraniteConfig, GraniteForCausalLM

    settings = classifier("llama").config.to_dict()
    for name in ("model_type", "architectures", "id2label", "label2id"):
        settings.pop(name, None)
    folder = save(tmp_path / "base", GraniteForCausalLM(GraniteConfig(**settings)), None)
    (folder / "model.safetensors").write_text("not read")
    with pytest.raises(ModelError, match="no sequence classifier for GraniteConfig"):
        load_backbone(folder)


@torch.no_grad()
def test_heads_are_exact_in_bfloat16(tmp_path, whole):
    chats = [talk("How many?", f"There are {n} of them.") for n in range(100)]
    half = plaudit.load(str(whole), "bfloat16").score(chats).mean
    assert len(np.unique(half)) == len(chats)


def test_the_pad_token_of_the_tokenizer_alone_is_no_pad_of_the_model(tmp_path, whole):
    folder = copied(whole, tmp_path / "rm")
    config(folder, pad_token_id=None)
    assert plaudit.load(str(folder)).renderer.pad_id is None
    config(folder, pad_token_id=PAD)
    assert plaudit.load(str(folder)).renderer.pad_id == PAD
    assert AutoTokenizer.from_pretrained(folder).pad_token_id == PAD
