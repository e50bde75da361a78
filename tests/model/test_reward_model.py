"""RewardModel: the tutorials' class, with the right token."""

import pytest
import torch

from plaudit import RewardModel, reward_loss
from plaudit.errors import ModelError
from plaudit.model import Renderer
from plaudit.model.backbone import final_norm, layers_of

from ..conftest import FAMILIES, byte_tokenizer, talk, tiny_backbone

CHATS = [talk("q", "a"), talk("another question", "a longer answer"), talk("a", "b", "c", "d")]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return RewardModel(tiny_backbone(), 32, Renderer.of(byte_tokenizer(), 256)).eval()


@torch.no_grad()
def test_padding_right_left_or_none_gives_equal_scores(model):
    batch = model.render(CHATS)
    ids, mask = batch["input_ids"], batch["attention_mask"]
    right = model(ids, mask)
    left = torch.stack([torch.roll(r, int((m == 0).sum())) for r, m in zip(ids, mask, strict=True)])
    left_mask = mask.flip(1)
    alone = torch.cat([model(r[m.bool()][None]) for r, m in zip(ids, mask, strict=True)])
    assert torch.allclose(right, alone, atol=1e-5)
    assert torch.allclose(model(left, left_mask), alone, atol=1e-5)
    assert torch.allclose(torch.tensor(model.score(CHATS).mean).float(), alone, atol=1e-5)
    # padded with the end token itself, by mask alone
    assert torch.allclose(model(ids.masked_fill(mask == 0, 257), mask), alone, atol=1e-5)


@torch.no_grad()
def test_the_tutorials_last_position_is_wrong_with_right_padding(model):
    batch = model.render(CHATS)
    hidden = model.backbone(**batch).last_hidden_state
    tutorial = model.head(hidden[:, -1, :]).squeeze(-1)
    right = model(**batch)
    longest = batch["attention_mask"].sum(1).argmax()
    wrong = [i for i in range(len(CHATS)) if i != longest]
    assert torch.allclose(tutorial[longest], right[longest], atol=1e-5)
    assert (tutorial[wrong] - right[wrong]).abs().min() > 1e-3


def test_the_loss_by_hand_and_at_the_ends():
    chosen, rejected = torch.tensor([2.1, 3.4, 1.8]), torch.tensor([0.5, 1.2, 0.9])
    assert reward_loss(chosen, rejected).item() == pytest.approx(
        (0.183899 + 0.105083 + 0.341154) / 3, abs=1e-5
    )
    for gap, expected in ((100.0, 0.0), (-100.0, 100.0)):
        for dtype in (torch.bfloat16, torch.float32):
            loss = reward_loss(torch.tensor([gap], dtype=dtype), torch.zeros(1, dtype=dtype))
            assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_freezing_wholly_and_all_but_the_top(model):
    model.freeze()
    assert [n for n, p in model.named_parameters() if p.requires_grad] == ["head.weight"]
    model.freeze(except_top=1)
    names = {
        n.split(".")[2] for n, p in model.named_parameters() if p.requires_grad and "layers" in n
    }
    assert names == {"3"}
    assert model.backbone.norm.weight.requires_grad
    with pytest.raises(ModelError, match="except_top is 9; allowed are 0 to 4"):
        model.freeze(except_top=9)


def test_gradients_reach_what_is_trained(model):
    model.freeze(except_top=1)
    reward_loss(model(**model.render(CHATS[:1])), model(**model.render(CHATS[1:2]))).backward()
    assert model.head.weight.grad.abs().sum() > 0
    assert model.backbone.layers[3].mlp.up_proj.weight.grad.abs().sum() > 0
    assert model.backbone.layers[2].mlp.up_proj.weight.grad is None


def test_without_a_renderer_it_takes_ids_only(tmp_path):
    bare = RewardModel(tiny_backbone(), 32)
    bare(torch.tensor([[1, 2, 3]]))
    with pytest.raises(ModelError, match="has no renderer"):
        bare.score(CHATS)
    with pytest.raises(ModelError, match="has no renderer"):
        bare.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="d_model is 64, but the backbone's width is 32"):
        RewardModel(tiny_backbone(), 64)


def test_equal_conversations_and_refused_ones(model):
    template = "{% for m in messages %}{% if 'bad' in m['content'] %}{{ raise_exception('no') }}{% endif %}{{ m['content'] }}{% endfor %}"
    model.renderer = Renderer.of(byte_tokenizer(template), 64)
    scores = model.score([CHATS[0], talk("q", "bad"), CHATS[0]])
    assert scores.mean[0] == scores.mean[2]
    assert "the chat template refuses" in scores.problems[1]


def tiny_of(name):
    import transformers

    shape = {"vocab_size": 64, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    wide = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4}
    configs = {
        "gpt2": lambda: transformers.GPT2Config(n_embd=32, n_layer=3, n_head=4, **shape),
        "gpt_neox": lambda: transformers.GPTNeoXConfig(**wide, intermediate_size=48, **shape),
        "phi": lambda: transformers.PhiConfig(**wide, intermediate_size=48, **shape),
        "bloom": lambda: transformers.BloomConfig(hidden_size=32, n_layer=3, n_head=4, **shape),
        "falcon": lambda: transformers.FalconConfig(**wide, **shape),
    }
    return transformers.AutoModel.from_config(configs[name]())


@pytest.mark.parametrize(
    "family", ["llama", "gemma2", "gpt2", "gpt_neox", "phi", "bloom", "falcon"]
)
def test_freezing_leaves_the_top_and_the_final_norm_of_every_family(family):
    backbone = tiny_backbone(family) if family in FAMILIES else tiny_of(family)
    model = RewardModel(backbone).freeze(except_top=1)
    trainable = {name for name, p in model.backbone.named_parameters() if p.requires_grad}
    norm = {id(p) for p in final_norm(model.backbone).parameters()}
    top = {id(p) for p in layers_of(model.backbone)[-1].parameters()}
    expected = {n for n, p in model.backbone.named_parameters() if id(p) in norm | top}
    assert norm
    assert trainable == expected


def test_nothing_global_is_touched_and_the_callers_tokenizer_stays_as_it_is(tmp_path):
    import csv
    import logging

    import matplotlib
    from transformers.utils import logging as notices

    import plaudit

    tokenizer = byte_tokenizer()
    before = (tokenizer.chat_template, tokenizer.padding_side, tokenizer.truncation_side)

    def globals_now():
        return (
            notices.get_verbosity(),
            notices.is_progress_bar_enabled(),
            matplotlib.get_backend(),
            csv.field_size_limit(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            logging.getLogger().level,
        )

    seen = globals_now()
    model = RewardModel(tiny_backbone(), renderer=Renderer.of(tokenizer, 256)).eval()
    model.save_pretrained(tmp_path / "rm")
    plaudit.load(str(tmp_path / "rm")).score(CHATS)
    assert globals_now() == seen
    assert (tokenizer.chat_template, tokenizer.padding_side, tokenizer.truncation_side) == before
