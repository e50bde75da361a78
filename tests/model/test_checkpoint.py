"""One saved folder, equal scores everywhere; a changed one is refused."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, pipeline

import plaudit
from plaudit import RewardModel
from plaudit.errors import CheckpointError, ModelError
from plaudit.model import Renderer
from plaudit.model.backbone import keep_layers
from plaudit.model.reward_model import Posterior

from ..conftest import FAMILIES, byte_tokenizer, talk, tiny_backbone
from .families import DECODERS, chat_tokenizer, classifier

CHATS = [
    talk("q", "a"),
    talk("another question", "a longer answer, with more to it"),
    talk("a", "b", "c", "d"),
    talk("empty?", ""),
    talk("spells", "the <|im_end|> token"),
    talk("Was ist 東京?", "Eine Stadt. 👍 "),
]


@pytest.fixture
def saved(tmp_path):
    return save("llama", tmp_path / "rm")


def save(family, folder, layer=None):
    torch.manual_seed(3)
    backbone = tiny_backbone(family)
    if layer:
        keep_layers(backbone, layer)
    model = RewardModel(backbone, renderer=Renderer.of(base_tokenizer(family, folder), 256)).eval()
    model.posterior = Posterior(torch.eye(32) * 0.1, torch.zeros(32))
    model.save_pretrained(folder)
    return folder


def base_tokenizer(family, folder):
    """The tokenizer as a base's folder gives it: for Qwen2, transformers 5 has a class of its own."""
    folder.mkdir()
    byte_tokenizer().save_pretrained(folder)
    (folder / "config.json").write_text(json.dumps({"model_type": family}))
    return AutoTokenizer.from_pretrained(folder) if family == "qwen2" else byte_tokenizer()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("layer", [None, 2])
@torch.no_grad()
def test_transformers_gives_the_same_scores(tmp_path, family, layer):
    folder = save(family, tmp_path / "rm", layer)
    mine = plaudit.load(str(folder), "float32")
    scores = mine.score(CHATS).mean
    theirs = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert theirs.config.num_hidden_layers == (layer or 4)
    texts = [tokenizer.apply_chat_template(c.chat(), tokenize=False) for c in CHATS]
    for side in ("right", "left"):
        tokenizer.padding_side = side
        batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        logits = theirs(batch["input_ids"], batch["attention_mask"]).logits[:, 0].numpy()
        assert np.abs(logits - scores).max() < 1e-4
    for text, score in zip(texts, scores, strict=True):
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        assert theirs(ids).logits.item() == pytest.approx(score, abs=1e-4)


FOUR = """
import json, sys, torch, transformers
from transformers import AutoModelForSequenceClassification, AutoTokenizer
assert transformers.__version__.startswith("4.57"), transformers.__version__
folder, chats = sys.argv[1], json.loads(sys.argv[2])
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
tokenizer = AutoTokenizer.from_pretrained(folder)
texts = [tokenizer.apply_chat_template(c, tokenize=False) for c in chats]
batch = tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
with torch.no_grad():
    print(json.dumps(model(**batch).logits[:, 0].tolist()))
"""


@pytest.mark.parametrize("family", [*FAMILIES, "qwen2"])
def test_transformers_4_gives_the_same_scores(tmp_path, family):
    other = os.environ.get("PLAUDIT_TRANSFORMERS4")
    if not other:
        pytest.skip(
            "PLAUDIT_TRANSFORMERS4 names no folder with transformers 4.57.6 (.ci/run sets it)"
        )
    folder = save(family, tmp_path / "rm", 2)
    chats = json.dumps([c.chat() for c in CHATS])
    done = subprocess.run(
        [sys.executable, "-c", FOUR, str(folder), chats],
        env=os.environ | {"PYTHONPATH": other},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = np.array(json.loads(done.stdout.strip().splitlines()[-1]))
    assert np.abs(found - plaudit.load(str(folder), "float32").score(CHATS).mean).max() < 1e-4


@pytest.mark.parametrize("layer", [None, 1])
@pytest.mark.parametrize("family", [f for f in DECODERS if f != "opt"])
@torch.no_grad()
def test_every_family_comes_back_with_std_and_golden_check(tmp_path, family, layer):
    backbone = classifier(family).base_model
    if layer:
        keep_layers(backbone, layer)
    tokenizer = chat_tokenizer()
    if family == "qwen2":
        tokenizer = base_tokenizer(family, tmp_path / "base")
    model = RewardModel(backbone, renderer=Renderer.of(tokenizer, 256)).eval()
    model.posterior = Posterior(torch.eye(32) * 0.1, torch.zeros(32))
    model.save_pretrained(tmp_path / "rm")
    loaded = plaudit.load(str(tmp_path / "rm"), "float32")
    scores = loaded.score(CHATS)
    assert isinstance(loaded, RewardModel)
    assert len(loaded.contract["golden"]["scores"]) == 6
    assert (scores.std > 0).all()
    assert np.abs(scores.mean - model.score(CHATS).mean).max() < 1e-4
    own = AutoModelForSequenceClassification.from_pretrained(tmp_path / "rm").eval()
    ids = [rendered.ids for rendered in loaded.renderer.render(CHATS)]
    found = [own(torch.from_numpy(one)[None]).logits.item() for one in ids]
    assert np.abs(scores.mean - found).max() < 1e-4


def test_a_tampered_file_is_refused(saved):
    for name in ("model.safetensors", "chat_template.jinja", "tokenizer.json", "config.json"):
        path = saved / name
        original = path.read_bytes()
        path.write_bytes(original + b" ")
        with pytest.raises(CheckpointError, match=f"{name} was changed after the model was saved"):
            plaudit.load(str(saved))
        path.write_bytes(original)
    plaudit.load(str(saved))


def test_golden_scores_catch_what_hashes_cannot(saved):
    contract = json.loads((saved / "plaudit.json").read_text())
    contract["golden"]["scores"][0] += 1.0
    (saved / "plaudit.json").write_text(json.dumps(contract))
    with pytest.raises(CheckpointError, match="golden scores differ by 1"):
        plaudit.load(str(saved), "float32")


def test_pad_is_not_the_end_token_and_the_contract_is_whole(saved):
    config = json.loads((saved / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(saved)
    assert config["pad_token_id"] == tokenizer.pad_token_id != tokenizer.eos_token_id
    assert config["problem_type"] == "regression"
    assert config["id2label"] == {"0": "REWARD"}
    assert config["rope_theta"] == 100_000.0
    assert load_file(saved / "model.safetensors")["score.weight"].shape == (1, 32)
    contract = json.loads((saved / "plaudit.json").read_text())
    assert len(contract["golden"]["scores"]) == 6
    assert set(contract["files"]) >= {
        "model.safetensors",
        "tokenizer.json",
        "plaudit/posterior.safetensors",
    }


@pytest.mark.parametrize(("family", "held"), [("qwen2", True), ("qwen3", True), ("llama", False)])
@torch.no_grad()
def test_sglang_finds_a_zero_bias_where_its_head_has_one(tmp_path, family, held):
    folder = save(family, tmp_path / "rm")
    tensors = load_file(folder / "model.safetensors")
    assert ("score.bias" in tensors) == held
    if held:
        assert tensors["score.bias"].tolist() == [0.0]
        assert tensors["score.bias"].dtype == tensors["score.weight"].dtype
    scorer = plaudit.load(str(folder), "float32")
    assert scorer.notes == ()
    own = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    ids = scorer.renderer.render(CHATS[:1])[0].ids
    assert own(torch.from_numpy(ids)[None]).logits.item() == pytest.approx(
        scorer.score(CHATS[:1]).mean[0], abs=1e-5
    )


def test_the_pipeline_gives_the_raw_score(saved):
    mine = plaudit.load(str(saved), "float32")
    text = mine.renderer.tokenizer.apply_chat_template(CHATS[1].chat(), tokenize=False)
    found = pipeline("text-classification", str(saved))(text, add_special_tokens=False)
    assert found[0]["score"] == pytest.approx(mine.score(CHATS[1:2]).mean[0], abs=1e-4)


def test_the_posterior_comes_back(saved):
    scores = plaudit.load(str(saved), "float32").score(CHATS)
    assert (scores.std > 0).all()
    assert scores.difference(0, 1).std == pytest.approx(
        np.linalg.norm(scores.factors[0] - scores.factors[1])
    )


def test_other_peoples_checkpoints(tmp_path, saved):
    (saved / "plaudit.json").unlink()
    before = plaudit.load(str(saved), "float32")
    assert before.contract == {}
    weights = load_file(saved / "model.safetensors")
    del weights["score.weight"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"the weights lack score.weight"):
        plaudit.load(str(saved))
    (saved / "model.safetensors").rename(saved / "pytorch_model.bin")
    (saved / "plaudit/posterior.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no \.safetensors file; plaudit reads nothing else"):
        plaudit.load(str(saved))
    with pytest.raises(ModelError, match="no folder nowhere; a model is a folder or a hub id"):
        plaudit.load("nowhere")


@torch.no_grad()
def test_a_model_trained_elsewhere_is_read_where_its_own_template_ends(tmp_path):
    from transformers import LlamaForSequenceClassification

    torch.manual_seed(0)
    config = tiny_backbone("llama").config
    config.num_labels = 1
    model = LlamaForSequenceClassification(config).eval()
    tokenizer = byte_tokenizer()  # ChatML: a newline follows the end token
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    scorer = plaudit.load(str(tmp_path), "float32")
    scores = scorer.score(CHATS).mean
    for chat, score in zip(CHATS, scores, strict=True):
        ids = tokenizer.apply_chat_template(chat.chat(), return_dict=False)
        assert ids[-1] != tokenizer.eos_token_id
        assert model(torch.tensor([ids])).logits.item() == pytest.approx(score, abs=1e-4)
    scorer.save_pretrained(tmp_path / "again")  # and keeps it when plaudit saves it
    assert plaudit.load(str(tmp_path / "again"), "float32").score(CHATS).mean == pytest.approx(
        scores, abs=1e-4
    )


@torch.no_grad()
def test_an_encoder_is_scored_through_its_own_head(tmp_path):
    from transformers import BertForSequenceClassification

    config = BertConfig(
        vocab_size=259,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=1,
        pad_token_id=258,
    )
    torch.manual_seed(0)
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path)
    tokenizer = byte_tokenizer()
    tokenizer.pad_token = "<unused0>"
    tokenizer.save_pretrained(tmp_path)
    scorer = plaudit.load(str(tmp_path), "float32")
    scores = scorer.score(CHATS).mean
    ids = scorer.renderer.render(CHATS[:1])[0].ids
    assert model(torch.from_numpy(ids)[None]).logits.item() == pytest.approx(scores[0], abs=1e-4)
    with pytest.raises(ModelError, match="pooling head of its own"):
        RewardModel.from_pretrained(tmp_path)


def test_a_two_label_model_is_refused(saved):
    (saved / "plaudit.json").unlink()
    config = json.loads((saved / "config.json").read_text())
    config["id2label"] = {"0": "a", "1": "b"}
    (saved / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=r"2 labels \(a, b\); a reward model has one"):
        plaudit.load(str(saved))
