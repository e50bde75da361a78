"""The contract of every Scorer: safe in threads, in order, one bad conversation harms no other."""

import threading

import numpy as np
import pytest
import torch

from plaudit.model import Renderer, RewardModel, load
from plaudit.model.classifier import Classifier

from ..conftest import FakeScorer, byte_tokenizer, talk, tiny_backbone


def own_model():
    torch.manual_seed(0)
    return RewardModel(tiny_backbone(), renderer=Renderer.of(byte_tokenizer(), 512)).eval()


def loaded_model(folder):
    own_model().save_pretrained(folder)
    return load(str(folder), dtype="float32")


def encoder():
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=259,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        num_labels=1,
        max_position_embeddings=600,
    )
    model = BertForSequenceClassification(config).eval()
    return Classifier(model, Renderer.as_saved(byte_tokenizer(), 512))


SCORERS = {
    "RewardModel": lambda _: own_model(),
    "loaded": loaded_model,
    "encoder": lambda _: encoder(),
    "fake": lambda _: FakeScorer(),
}


def batches():
    random = np.random.default_rng(3)

    def text(size):
        return "".join(map(chr, random.integers(97, 123, size)))

    sizes = (1, 9, 3, 30, 2, 14, 5, 22)
    return [[talk(text(20 + n), text(5 + 3 * (i % 40))) for i in range(n)] for n in sizes]


@pytest.mark.parametrize("name", SCORERS)
def test_eight_threads_give_the_serial_scores(name, tmp_path):
    scorer = SCORERS[name](tmp_path)
    work = batches()
    serial = [scorer.score(batch).mean for batch in work]
    assert all(len(np.unique(mean)) == len(mean) for mean in serial)
    found = {}

    def run(number):
        for repeat in range(3):
            found[number, repeat] = scorer.score(work[number]).mean

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 * len(work)
    for (number, _), mean in found.items():
        assert np.array_equal(mean, serial[number])


@pytest.mark.parametrize("name", ["RewardModel", "loaded", "encoder"])
def test_a_conversation_that_the_template_refuses_harms_none_of_the_others(name, tmp_path):
    scorer = SCORERS[name](tmp_path)
    template = scorer.renderer.tokenizer.chat_template
    refusing = "{% if 'BAD' in messages[-1].content %}{{ raise_exception('no') }}{% endif %}"
    scorer.renderer.tokenizer.chat_template = refusing + template
    good = batches()[3]
    scores = scorer.score([*good[:4], talk("q", "BAD"), *good[4:]])
    assert list(scores.problems) == [4]
    assert "no" in scores.problems[4]
    assert np.isnan(scores.mean[4])
    assert np.allclose(np.delete(scores.mean, 4), scorer.score(good).mean, atol=1e-5)
