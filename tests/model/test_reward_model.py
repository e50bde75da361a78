"""RewardModel: the tutorials' class, with the right token."""

import pytest
import torch

from plaudit import RewardModel, reward_loss
from plaudit.errors import ModelError
from plaudit.model import Renderer

from ..conftest import byte_tokenizer, talk, tiny_backbone

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
