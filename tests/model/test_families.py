"""The score is transformers' own: every family, pad token and template ending, in any batch.

Every family meets every pad token here; the whole product with every template ending is slow.
"""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import plaudit
from plaudit.errors import CheckpointError, ModelError, PlauditError
from plaudit.model import RewardModel
from plaudit.model.classifier import Classifier

from ..conftest import talk
from .families import (
    DECODERS,
    ENCODERS,
    ENDINGS,
    PADS,
    chat_tokenizer,
    classifier,
    copied,
    encoder_tokenizer,
    save,
    scaled,
)

CHATS = [
    talk("q", "a"),
    talk("another question", "a longer answer, with more to it"),
    talk("another question", "no"),
    talk("a", "b", "c", "d"),
    talk("empty?", ""),
    talk("spells", "the <end> token, then <pad>"),
    talk("ends with what may be padding", "<pad><pad>"),
    talk("Was ist 東京?", "Eine Stadt. 👍 "),
    talk("long " * 30, "short"),
]
# Where responses in one row would change each other's scores, each runs alone.
ALONE = {
    "gptj": "positions are not read from position ids",
    "falcon": "its attention takes no mask of ours",
    "bloom": "its positions are distances in the row",
    "mpt": "its positions are distances in the row",
    "stablelm": "its attention is its own",
    "gpt-oss": "its attention has sinks",
}
# No engine: transformers' forward itself.
FORWARD = {"opt": "its layers stand inside a decoder of their own"}


def matrix():
    """Every family by pad token by ending; slow but for one ending of each, in rotation."""
    cases = []
    for place, family in enumerate(DECODERS):
        for number, pad in enumerate(PADS):
            for turn, ending in enumerate(ENDINGS):
                slow = (place + number) % len(ENDINGS) != turn
                marks = [pytest.mark.slow] if slow else []
                cases.append(pytest.param(family, pad, ending, marks=marks))
    return cases


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """family -> (transformers' own class, the folder of it), made once."""
    made = {}

    def folder(family):
        if family not in made:
            model = classifier(family)
            path = save(tmp_path_factory.mktemp("families") / family, model, None)
            made[family] = model, path
        return made[family]

    return folder


@pytest.mark.parametrize(("family", "pad", "ending"), matrix())
@torch.no_grad()
def test_scores_are_those_of_transformers_own_class(tmp_path, folders, family, pad, ending):
    model, original = folders(family)
    in_config, in_tokenizer = PADS[pad]
    folder = copied(original, tmp_path / "rm")
    chat_tokenizer(ENDINGS[ending], in_tokenizer).save_pretrained(folder)
    edit(folder / "config.json", pad_token_id=in_config)
    model.config.pad_token_id = in_config

    scorer = plaudit.load(str(folder), "float32")
    together = scorer.score(CHATS).mean
    alone = np.concatenate([scorer.score([chat]).mean for chat in CHATS])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer.apply_chat_template(c.chat(), return_dict=False) for c in CHATS]
    own = np.array([model(torch.tensor([ids])).logits.item() for ids in rows])

    assert own.std() > 0.02  # scores differ visibly
    assert np.abs(together - own).max() < 1e-4
    assert np.abs(alone - own).max() < 1e-4
    if in_config is not None:
        assert np.abs(padded(model, rows, in_config) - together).max() < 1e-4
    runs_as_it_should(family, scorer)


def padded(model, rows, pad):
    """[rows] logits of one batch, padded right."""
    width = max(map(len, rows))
    ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in rows])
    return model(input_ids=ids, attention_mask=mask).logits[:, 0].numpy()


def runs_as_it_should(family, scorer):
    """No silent fall back: the packed pass wherever a family can take it."""
    if family in FORWARD:
        assert isinstance(scorer, Classifier)
    else:
        assert isinstance(scorer, RewardModel)
        assert scorer.engine.packing.packed == (family not in ALONE), scorer.engine.packing


def edit(path, **values):
    settings = json.loads(path.read_text()) | values
    path.write_text(json.dumps({k: v for k, v in settings.items() if v is not ...}))


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2", "falcon"])
@torch.no_grad()
def test_where_the_class_reads_is_seen_in_the_score(tmp_path, folders, family):
    """The matrix can fail: another pad token is another token read, and another score."""
    _, original = folders(family)
    found = {}
    for pad in ("own", "the end token"):
        folder = copied(original, tmp_path / pad.replace(" ", "-"))
        chat_tokenizer().save_pretrained(folder)
        edit(folder / "config.json", pad_token_id=PADS[pad][0])
        found[pad] = plaudit.load(str(folder), "float32").score(CHATS).mean
    assert np.abs(found["own"] - found["the end token"]).max() > 0.01


# ------------------------------------------------------------------------------ encoders


@pytest.mark.parametrize("pad", ["own", "only in the tokenizer"])
@pytest.mark.parametrize("family", ENCODERS)
@torch.no_grad()
def test_encoders_are_scored_with_their_tokenizers_special_tokens(tmp_path, family, pad):
    model = classifier(family)
    folder = save(tmp_path / "rm", model, encoder_tokenizer())
    if pad == "only in the tokenizer" and family != "roberta":  # it counts positions by its pad
        edit(folder / "config.json", pad_token_id=None)
    own = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chats = [c for c in CHATS if len(c.messages) == 2]
    texts = [[message.text for message in c.messages] for c in chats]
    ways = {
        "pair": [tokenizer(a, b, return_tensors="pt") for a, b in texts],
        "text": [tokenizer(f"User: {a}\n\nAssistant: {b}", return_tensors="pt") for a, b in texts],
    }
    for way, inputs in ways.items():
        expected = np.array([own(**one).logits.item() for one in inputs])
        scorer = plaudit.load(str(folder), "float32", input=way)
        assert isinstance(scorer, Classifier)
        assert expected.std() > 0.005
        assert np.abs(scorer.score(chats).mean - expected).max() < 1e-4
        alone = np.concatenate([scorer.score([chat]).mean for chat in chats])
        assert np.abs(alone - expected).max() < 1e-4
        ids = scorer.renderer.render(chats[:1])[0].ids
        assert tokenizer.convert_ids_to_tokens([ids[0], ids[-1]]) == ["[CLS]", "[SEP]"]
    taken = plaudit.load(str(folder), "float32")
    assert taken.renderer.pairs
    assert any("--input text for the other way" in note for note in taken.notes)


def test_an_encoder_without_a_pad_token_is_refused(tmp_path):
    tokenizer = encoder_tokenizer(pad=None)
    folder = save(tmp_path / "rm", classifier("bert"), tokenizer)
    with pytest.raises(ModelError, match="has no pad token"):
        plaudit.load(str(folder))


@torch.no_grad()
def test_an_encoder_of_one_token_type_gets_none_whatever_its_tokenizer_says(tmp_path):
    model = classifier("roberta", type_vocab_size=1)
    folder = save(tmp_path / "rm", model, encoder_tokenizer())
    scorer = plaudit.load(str(folder), "float32")
    ids = scorer.renderer.render(CHATS[:1])[0].ids
    own = model(torch.from_numpy(ids)[None]).logits.item()
    assert scorer.score(CHATS[:1]).mean[0] == pytest.approx(own, abs=1e-5)


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_token_without_an_embedding_is_refused_and_harms_no_other(tmp_path, family):
    tokenizer = chat_tokenizer() if family == "llama" else encoder_tokenizer()
    tokenizer.add_tokens(["<added>"])
    folder = save(tmp_path / "rm", classifier(family), tokenizer)
    scores = plaudit.load(str(folder), "float32").score([CHATS[0], talk("q", "an <added> token")])
    assert np.isfinite(scores.mean[0])
    assert "makes token 261, and the model has embeddings for 261" in scores.problems[1]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"dtype": "int8"}, "dtype must be one of float32, bfloat16, float16"),
        ({"dtype": "half-precision"}, "dtype must be one of"),
        ({"max_length": 0}, "at least 16 tokens, found 0"),
        ({"max_length": -5}, "at least 16 tokens, found -5"),
        ({"max_length": 4096}, "takes no more than 512 tokens"),
        ({"device": "tpu"}, "--device must be auto, cpu"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(tmp_path, folders, how, says):
    folder = copied(folders("llama")[1], tmp_path / "rm")
    chat_tokenizer().save_pretrained(folder)
    with pytest.raises(PlauditError, match=says):
        plaudit.load(str(folder), **how)


def test_input_is_for_encoders(tmp_path):
    folder = save(tmp_path / "rm", classifier("llama"), chat_tokenizer())
    with pytest.raises(PlauditError, match="--input pair is for encoders"):
        plaudit.load(str(folder), input="pair")


@torch.no_grad()
def test_roberta_has_512_positions_of_514(tmp_path):
    model = classifier("roberta")
    folder = save(tmp_path / "rm", model, encoder_tokenizer())
    scorer = plaudit.load(str(folder), "float32")
    assert scorer.renderer.max_length == 512
    long = talk("word " * 200, "the end of it")
    scores = scorer.score([long])
    assert np.isfinite(scores.mean).all()
    assert scores.notes[0].endswith("to 512")
    with pytest.raises(ModelError, match="takes no more than 512 tokens"):
        plaudit.load(str(folder), max_length=514)


@pytest.mark.parametrize("family", ENCODERS)
def test_an_encoders_head_is_exact_in_bfloat16(tmp_path, family):
    """In bfloat16 most scores of near texts would be ties."""
    folder = save(tmp_path / "rm", classifier(family), encoder_tokenizer())
    chats = [talk("How many?", f"There are {n} of them.") for n in range(120)]
    full = plaudit.load(str(folder), "float32").score(chats).mean
    half = plaudit.load(str(folder), "bfloat16").score(chats).mean
    assert len(np.unique(half)) >= len(np.unique(full)) - 2
    assert np.corrcoef(full, half)[0, 1] > 0.9


def test_a_base_without_a_sequence_classifier_has_no_reward_model(tmp_path):
    from transformers import GraniteConfig, GraniteForCausalLM

    config = GraniteConfig(
        vocab_size=261,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    folder = save(tmp_path / "base", scaled(GraniteForCausalLM(config)), chat_tokenizer())
    edit(folder / "config.json", id2label={"0": "REWARD"}, label2id={"REWARD": 0})
    with pytest.raises(CheckpointError, match="has no sequence classifier for granite"):
        plaudit.load(str(folder))
