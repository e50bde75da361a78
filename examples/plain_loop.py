"""RewardModel in a plain PyTorch loop, as the tutorials write it: wholly and partly frozen.

python examples/plain_loop.py DATA OUTPUT [BASE] [PAIRS]

DATA is any preference data; the loss on held-out pairs is printed before and after. What it
saves, `plaudit evaluate` and transformers score alike.
"""

import random
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import plaudit
from plaudit.data import pairs_of, split
from plaudit.model.download import base_folder

BATCH = 8


def mean_loss(model, pairs):
    with torch.no_grad():
        losses = [loss_of(model, pairs[i : i + BATCH]) for i in range(0, len(pairs), BATCH)]
    return float(torch.stack(losses).mean())


def loss_of(model, pairs):
    better = [pair.a if pair.p > 0.5 else pair.b for pair in pairs]
    worse = [pair.b if pair.p > 0.5 else pair.a for pair in pairs]
    return plaudit.reward_loss(model(**model.render(better)), model(**model.render(worse)))


def fit(base, train, test, except_top, rate):
    folder = base_folder(base)
    backbone = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    renderer = plaudit.Renderer.of(AutoTokenizer.from_pretrained(folder), max_length=512)
    model = plaudit.RewardModel(backbone, backbone.config.hidden_size, renderer)
    torch.nn.init.zeros_(model.head.weight)  # start from equal scores: loss ln 2
    model.freeze(except_top=except_top)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate)
    before = mean_loss(model, test)
    for step in range(0, len(train) - BATCH + 1, BATCH):
        optimizer.zero_grad()
        loss_of(model, train[step : step + BATCH]).backward()
        optimizer.step()
    name = f"top {except_top} layers and head" if except_top else "head only"
    print(f"{name}: held-out loss {before:.4f} -> {mean_loss(model, test):.4f}", flush=True)
    return model


def main(data, output, base="smollm2", count=240):
    torch.manual_seed(0)
    pairs = pairs_of(plaudit.read(data))
    random.Random(0).shuffle(pairs)
    sides = split(pairs)
    train, test = [pairs[i] for i in sides.train], [pairs[i] for i in sides.test]
    train, test = train[: int(count)], test[: int(count) // 4]
    fit(base, train, test, except_top=0, rate=1e-3).save_pretrained(f"{output}-head")
    fit(base, train, test, except_top=2, rate=1e-4).save_pretrained(f"{output}-top2")


if __name__ == "__main__":
    main(*sys.argv[1:])
