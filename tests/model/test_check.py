"""The doctor for models: every planted fault is named, a clean model has a short clean bill."""

import json
import shutil
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

import plaudit
from plaudit.model import Renderer, RewardModel
from plaudit.model.check import check_model

from ..conftest import byte_tokenizer, tiny_backbone
from .families import (
    BODY,
    END,
    ENDINGS,
    UNK,
    chat_tokenizer,
    classifier,
    copied,
    encoder_tokenizer,
    save,
)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PLAUDIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A model that plaudit has saved."""
    folder = tmp_path_factory.mktemp("clean") / "rm"
    torch.manual_seed(3)
    model = RewardModel(tiny_backbone(), renderer=Renderer.of(byte_tokenizer(), 256)).eval()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A sound model as transformers saves it, its pad token its own, every setting right."""
    folder = tmp_path_factory.mktemp("foreign") / "rm"
    model = classifier("llama", problem_type="regression")
    save(folder, model, chat_tokenizer(truncation_side="left"))
    edit(folder, "config.json", rope_theta=10_000.0)
    edit(folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    return folder


def edit(folder, name, **values):
    path = folder / name
    settings = json.loads(path.read_text()) | values
    path.unlink()
    path.write_text(json.dumps({k: v for k, v in settings.items() if v is not ...}))


def tensors(folder, change):
    path = folder / "model.safetensors"
    held = load_file(path)
    path.unlink()
    save_file(change(held), path, metadata={"format": "pt"})


def retold(folder, template):
    chat_tokenizer(template, truncation_side="left").save_pretrained(folder)
    edit(folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")


def ending_with_its_pad(folder):
    chat_tokenizer(pad="<end>", truncation_side="left").save_pretrained(folder)
    edit(folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    edit(folder, "config.json", pad_token_id=END)


def beginning_twice(folder):
    from tokenizers import processors

    tokenizer = chat_tokenizer(truncation_side="left")
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", 258)]
    )
    tokenizer.save_pretrained(folder)
    edit(folder, "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")


def another_base(folder):
    edit(folder, "config.json", rope_theta=...)
    settings = json.loads((folder / "config.json").read_text())
    settings["rope_parameters"]["rope_theta"] = 500_000.0
    edit(folder, "config.json", **settings)


def quantised_head(held):
    return held | {"score.weight": held["score.weight"].to(torch.float8_e4m3fn)}


# Name of the finding: (the fault, whether a score would be wrong, what is said).
FAULTS = {
    "pad token equal to the end token": (
        ending_with_its_pad,
        True,
        "golden scores differ by up to",
    ),
    "two pad tokens": (
        lambda f: edit(f, "config.json", pad_token_id=UNK),
        True,
        "the tokenizer pads with '<pad>', the model skips '<unk>'",
    ),
    "no pad token": (
        lambda f: edit(f, "config.json", pad_token_id=None),
        False,
        "TRL takes the end token",
    ),
    "begin token doubled": (beginning_twice, False, "golden scores differ by up to"),
    "newline after the end token": (
        lambda f: retold(f, ENDINGS["newline"]),
        False,
        r"writes '\n' behind the end token",
    ),
    "date in the template": (
        lambda f: retold(f, "{{ strftime_now('%d %b %Y') }}" + ENDINGS["end token"]),
        True,
        "golden scores differ by up to",
    ),
    "template is not deterministic": (
        lambda f: retold(f, "{{ range(1000) | random }}" + ENDINGS["end token"]),
        True,
        "random part",
    ),
    "rotary base lost in transformers 4": (another_base, True, '"rope_theta": 500000.0'),
    "tokenizer class that transformers 4.57 refuses": (
        lambda f: edit(f, "tokenizer_config.json", tokenizer_class="TokenizersBackend"),
        False,
        "PreTrainedTokenizerFast",
    ),
    "activation other than identity": (
        lambda f: edit(f, "config.json", problem_type=...),
        True,
        "comes out as",
    ),
    "more than one label": (
        lambda f: edit(f, "config.json", id2label={"0": "a", "1": "b"}),
        True,
        "2 labels",
    ),
    "head in low precision": (
        lambda f: tensors(f, lambda held: {k: v.bfloat16() for k, v in held.items()}),
        False,
        "scores come in steps of up to",
    ),
    "quantised weights": (
        lambda f: edit(f, "config.json", quantization_config={"quant_method": "gptq"}),
        True,
        "gptq",
    ),
    "a bias that transformers does not add": (
        lambda f: tensors(f, lambda held: held | {"score.bias": torch.tensor([2.5])}),
        True,
        "score.bias is 2.5",
    ),
    "tensors that are not read": (
        lambda f: tensors(f, lambda held: held | {"value_head.bias": torch.ones(1)}),
        False,
        "value_head.bias",
    ),
    "no score": (
        lambda f: tensors(f, lambda held: held | {"score.weight": torch.zeros(1, 32)}),
        True,
        "all golden scores are equal",
    ),
    "code in the folder": (
        lambda f: edit(f, "config.json", auto_map={"AutoModel": "own.Own"}),
        True,
        "auto_map",
    ),
    "no chat template": (
        lambda f: (f / "chat_template.jinja").unlink(),
        True,
        "add the chat_template.jinja",
    ),
    "several chat templates": (
        lambda f: retold(f, {"rag": BODY + "{% endfor %}", "tools": BODY + "{% endfor %}"}),
        True,
        "--template NAME",
    ),
    "cut on the right": (
        lambda f: edit(f, "tokenizer_config.json", truncation_side="right"),
        False,
        '"truncation_side": "left"',
    ),
    "cannot be loaded": (
        lambda f: edit(f, "config.json", model_type="internlm2"),
        True,
        "'internlm2' is unknown to transformers",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_named(tmp_path, foreign, name):
    plants, wrong, says = FAULTS[name]
    folder = copied(foreign, tmp_path / "rm")
    if name == "several chat templates":
        (folder / "chat_template.jinja").unlink()
    plants(folder)
    check = check_model(str(folder))
    found = {finding.name: finding for finding in check.findings}
    assert list(found) == [name]
    assert found[name].wrong == wrong
    assert check.ok == (not wrong)
    text = "\n".join(check.lines())
    assert says in text
    assert name in text
    assert found[name].remedy or name == "cannot be loaded"
    assert json.loads(json.dumps(check.to_dict()))["ok"] == check.ok


def test_a_clean_model_has_a_short_clean_bill(clean, foreign):
    start = time.perf_counter()
    check = check_model(str(clean))
    assert time.perf_counter() - start < 5
    assert check.findings == ()
    assert check.ok
    lines = check.lines()
    assert lines[-1] == "Healthy: every engine scores it alike."
    assert len(lines) < 15
    facts = check.facts
    assert facts["class"] == "LlamaForSequenceClassification"
    assert facts["depth"] == "4 layers, width 32"
    assert facts["head"] == "linear, score.weight [1, 32], computed in float32"
    assert facts["scored at"].startswith("'<|im_end|>'")
    assert facts["contract"].startswith("plaudit ")
    assert facts["limit"] == "2,048 tokens, 256 taken"
    assert check_model(str(foreign)).findings == ()


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_sglangs_random_bias_is_named_and_its_size(tmp_path, family):
    folder = save(tmp_path / "rm", classifier(family), chat_tokenizer())
    found = {finding.name: finding for finding in check_model(str(folder)).findings}
    assert found["no score.bias"].wrong
    assert found["no score.bias"].size == f"up to ±{32**-0.5:.3f}"
    plaudit.load(str(folder), "float32").save_pretrained(tmp_path / "again")
    again = {finding.name for finding in check_model(str(tmp_path / "again")).findings}
    assert "no score.bias" not in again


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("model.safetensors", "weights"),
        ("chat_template.jinja", "template"),
        ("tokenizer.json", "tokenizer"),
        ("config.json", "config"),
    ],
)
def test_what_was_changed_since_it_was_saved_is_named(tmp_path, clean, file, kind):
    folder = tmp_path / "rm"
    shutil.copytree(clean, folder)
    path = folder / file
    if kind == "weights":
        tensors(folder, lambda held: held | {"score.weight": held["score.weight"] * 2})
    else:
        path.write_bytes(path.read_bytes() + b" ")
    check = check_model(str(folder))
    found = {finding.name: finding for finding in check.findings}
    assert f"{kind} changed since saved" in found
    assert not check.ok
    if kind == "weights":
        assert "they differ by up to" in found["golden scores off"].size


def test_golden_scores_that_are_off_are_named_with_their_size(tmp_path, clean):
    folder = tmp_path / "rm"
    shutil.copytree(clean, folder)
    contract = json.loads((folder / "plaudit.json").read_text())
    contract["golden"]["scores"][2] += 0.5
    (folder / "plaudit.json").write_text(json.dumps(contract))
    (found,) = check_model(str(folder)).findings
    assert (found.name, found.wrong) == ("golden scores off", True)
    assert found.size.startswith("they differ by up to 0.5;")


def test_an_adapter_without_its_base_is_named(tmp_path):
    settings = {"base_model_name_or_path": str(tmp_path / "gone"), "task_type": "SEQ_CLS"}
    (tmp_path / "rm").mkdir()
    (tmp_path / "rm" / "adapter_config.json").write_text(json.dumps(settings))
    (found,) = check_model(str(tmp_path / "rm")).findings
    assert found.name == "adapter without its base"
    assert "gone" in found.what


def test_an_encoder_is_examined_through_its_own_head(tmp_path):
    model = classifier("roberta", problem_type="regression")
    folder = save(tmp_path / "rm", model, encoder_tokenizer())
    edit(
        folder,
        "tokenizer_config.json",
        tokenizer_class="PreTrainedTokenizerFast",
        model_max_length=514,
    )
    check = check_model(str(folder))
    (found,) = check.findings
    assert found.name == "positions beyond the limit"
    assert "512 tokens have a position, and 514 are stated" in found.what
    assert check.facts["head"] == "the encoder's own pooling head, computed in float32"
    assert check.facts["template"] == "none; a pair (prompt, response)"


def test_transformers_5_reads_some_tokenizers_otherwise_than_4(tmp_path):
    """Qwen2's class composes characters; the file says nothing of it."""
    folder = save(tmp_path / "rm", classifier("qwen2"), chat_tokenizer())
    names = [finding.name for finding in check_model(str(folder)).findings]
    assert ("tokenizer.json is read otherwise" in names) == reads_otherwise(folder)


def reads_otherwise(folder):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    from plaudit.model.golden import GOLDEN

    texts = [message.text for conversation in GOLDEN for message in conversation.messages]
    stored = Tokenizer.from_file(str(folder / "tokenizer.json"))
    read = AutoTokenizer.from_pretrained(folder)
    return any(
        stored.encode(text, add_special_tokens=False).ids
        != read(text, add_special_tokens=False)["input_ids"]
        for text in texts
    )


@pytest.mark.parametrize("name", ["nowhere", "owner/nothing", ""])
def test_what_is_no_model_still_gets_a_report(name):
    check = check_model(name)
    assert not check.ok
    assert [finding.name for finding in check.findings] == ["cannot be loaded"]
    assert check.lines()[-1] == "Scores would be wrong: 1 of 1 findings."


def test_why_it_cannot_be_loaded_is_said_beside_other_findings(tmp_path, foreign):
    folder = copied(foreign, tmp_path / "rm")
    retold(folder, "{{ 1 }}")
    edit(folder, "tokenizer_config.json", tokenizer_class="TokenizersBackend")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1")
    names = {finding.name for finding in check_model(str(folder)).findings}
    assert names == {"cannot be loaded", "tokenizer class that transformers 4.57 refuses"}


def test_an_end_of_turn_that_is_not_the_end_token_ends_a_text_too(tmp_path, foreign):
    folder = copied(foreign, tmp_path / "rm")
    retold(folder, BODY + "{{ '<turn>\n' }}{% endfor %}")
    (found,) = check_model(str(folder)).findings
    assert found.name == "newline after the end token"


def test_an_empty_folder_still_gets_a_report(tmp_path):
    (found,) = check_model(str(tmp_path)).findings
    assert "no .safetensors file" in found.what
