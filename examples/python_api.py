"""plaudit from Python: rows in memory to a model, its numbers, and scores in every form.

python examples/python_api.py OUTPUT [BASE]
"""

import sys

import numpy as np

import plaudit

TOPICS = ("the invoice", "my parcel", "the app", "a refund", "my address", "the shop", "delivery")


def rows() -> list[dict[str, str]]:
    """Comparisons as a program may hold them: a list of dicts."""
    topics = [TOPICS[i % len(TOPICS)] for i in range(60)]
    return [
        {
            "prompt": f"Ticket {i}: I have a question about {topic}.",
            "response_a": f"Gladly! I have looked at {topic}: here is what to do.",
            "response_b": f"Number {i * 7919} is noted.",
            "label": "a",
        }
        for i, topic in enumerate(topics)
    ]


def show_scores(scorer: plaudit.Scoring) -> None:
    """What any scorer does: score, rank, compare."""
    prompt = "Where is my parcel?"
    responses = ["No idea.", "It left the depot today; here is the link to follow it."]
    scores = scorer.score(prompt, responses)
    values: np.ndarray = np.asarray(scores)
    first: float = scores[0]
    print(f"{len(scores)} scores: {first:.2f} to {values.max():.2f}")
    best: plaudit.Ranked = scorer.rank(prompt, responses)[0]
    print(f"best: {best.response!r} ({best.score:.2f})")
    print(f"the second is better: {scorer.probability([(prompt, *responses)])[0]:.0%}")
    print(f"as messages: {list(scorer.score([[{'role': 'assistant', 'content': 'Hello.'}]]))}")


def main(output: str, base: str = "smollm2") -> None:
    trained = plaudit.train(rows(), output, base=base)
    print(trained)
    print(trained.report["accuracy"])
    show_scores(plaudit.load(output))


if __name__ == "__main__":
    main(*sys.argv[1:])
