"""READERS: every format of preference data, one file per format.

A reader is two functions: does a row look like this format, and what Slate does it hold. To
add one, write the file and its row here. Order is the order of detection: the most particular
first. `recognises` sees one row; a format is taken when it recognises the first rows.
"""

from plaudit.data.readers import (
    arena,
    candidates,
    chosen_message,
    flywheel,
    helpsteer,
    hh_rlhf,
    open_webui,
    openai_preference,
    pku_saferlhf,
    ranked,
    rewardbench,
    rm_bench,
    study,
    trl,
    two_responses,
    ultrafeedback,
    votes,
)
from plaudit.data.readers.reader import Reader as Reader

READERS: dict[str, Reader] = {
    "study": Reader(study.recognises, study.read),
    "votes": Reader(votes.recognises, votes.read, key=votes.key, together=votes.together),
    "rewardbench2": Reader(rewardbench.recognises_2, rewardbench.read_2),
    "rewardbench": Reader(rewardbench.recognises_1, rewardbench.read_1),
    "rm-bench": Reader(rm_bench.recognises, rm_bench.read),
    "hh-rlhf": Reader(hh_rlhf.recognises, hh_rlhf.read),
    "helpsteer3": Reader(helpsteer.recognises_3, helpsteer.read_3),
    "helpsteer2": Reader(helpsteer.recognises_2, helpsteer.read_2),
    "helpsteer2-ratings": Reader(
        helpsteer.recognises_ratings,
        helpsteer.read_ratings,
        key=helpsteer.key,
        together=helpsteer.together,
    ),
    "ultrafeedback": Reader(ultrafeedback.recognises, ultrafeedback.read),
    "arena": Reader(arena.recognises, arena.read, labels=("winner",), names=arena.names),
    "arena-55k": Reader(arena.recognises_55k, arena.read_55k),
    "arena-votes": Reader(arena.recognises_log, arena.read_log),
    "open-webui": Reader(open_webui.recognises, open_webui.read),
    "openai-preference": Reader(openai_preference.recognises, openai_preference.read),
    "flywheel": Reader(
        flywheel.recognises, flywheel.read, labels=two_responses.LABELS, names=flywheel.names
    ),
    "ms-swift": Reader(chosen_message.recognises_swift, chosen_message.read),
    "openpipe": Reader(chosen_message.recognises_openpipe, chosen_message.read),
    "pku-saferlhf": Reader(pku_saferlhf.recognises, pku_saferlhf.read),
    "twelve-angry-llms": Reader(trl.recognises_judged, trl.read),
    "llama-factory": Reader(trl.recognises_sharegpt, trl.read),
    "trl": Reader(trl.recognises, trl.read),
    "two-responses": Reader(
        two_responses.recognises,
        two_responses.read,
        labels=two_responses.LABELS,
        names=two_responses.response_names,
    ),
    "ranked": Reader(ranked.recognises, ranked.read),
    "candidates": Reader(candidates.recognises, candidates.read),
}
