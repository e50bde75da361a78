"""A row of each foreign layout as its makers write it: (format, row, p of its first pair).

The fields are those of the published files and documents; texts are shortened to "good" and
"bad", so that one test can say which response won.
"""

GOOD, BAD = ({"role": "assistant", "content": text} for text in ("good", "bad"))
ASKED = {"role": "user", "content": "What is the capital of Tasmania?"}
SYSTEM = {"role": "system", "content": "You are a helpful assistant"}


def _part(text):
    return [{"type": "text", "text": text, "image": None, "mimeType": None}]


def _state(model, text):
    """A conversation as FastChat's web server logs it."""
    return {
        "template_name": "vicuna_v1.1",
        "system_message": "A chat between a curious user and an assistant.",
        "roles": ["USER", "ASSISTANT"],
        "messages": [["USER", "What is the capital of Tasmania?"], ["ASSISTANT", text]],
        "offset": 0,
        "conv_id": "5a3e8d1c",
        "model_name": model,
    }


def _completion(text):
    return {
        "id": "cmpl-1",
        "object": "chat.completion",
        "created": 1750000000,
        "model": "meta/llama-3.1-8b-instruct",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        ],
        "usage": {"prompt_tokens": 12, "completion_tokens": 1, "total_tokens": 13},
    }


def _webui(identity, parent, role, content, **more):
    return {"id": identity, "parentId": parent, "childrenIds": [], "role": role, "content": content,
            "timestamp": 1750000000, **more}  # fmt: skip


CHAT = {
    "u1": _webui("u1", None, "user", "Hi"),
    "a1": _webui("a1", "u1", "assistant", "Hello", model="llama3.2:latest"),
    "u2": _webui("u2", "a1", "user", "What is the capital of Tasmania?"),
    "g": _webui("g", "u2", "assistant", "good", model="llama3.2:latest", modelIdx=0),
    "b": _webui("b", "u2", "assistant", "bad", model="mistral:7b", modelIdx=1),
}
OPEN_WEBUI = {
    "id": "0c9f1a2e",
    "user_id": "u-1",
    "version": 0,
    "type": "rating",
    "data": {
        "rating": 1,
        "model_id": "llama3.2:latest",
        "sibling_model_ids": ["mistral:7b"],
        "reason": "accurate_information",
        "comment": "",
        "tags": ["geography"],
        "details": {"rating": 8},
    },
    "meta": {"arena": True, "chat_id": "c-1", "message_id": "g", "message_index": 3, "tags": []},
    "snapshot": {
        "chat": {
            "id": "c-1",
            "title": "Tasmania",
            "chat": {"history": {"messages": CHAT, "currentId": "g"}},
        }
    },
    "created_at": 1750000000,
    "updated_at": 1750000000,
}
LOG = {
    "timestamp": 1750000000,
    "workload_id": "desk",
    "client_id": "prod",
    "request": {
        "model": "meta/llama-3.1-70b-instruct",
        "messages": [SYSTEM, ASKED],
        "temperature": 0.2,
    },
}

FOREIGN = [
    (
        "llama-factory",
        {
            "conversations": [{"from": "human", "value": "What is the capital of Tasmania?"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        1.0,
    ),
    (
        "llama-factory",
        {
            "conversations": [
                {"from": "human", "value": "Where is parcel 3?"},
                {"from": "function_call", "value": '{"name": "find", "arguments": {"number": 3}}'},
                {"from": "observation", "value": '{"place": "shop"}'},
            ],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
            "system": "Desk.",
            "tools": '[{"type": "function", "function": {"name": "find"}}]',
        },
        1.0,
    ),
    ("ms-swift", {"messages": [SYSTEM, ASKED, GOOD], "rejected_response": "bad"}, 1.0),
    ("ms-swift", {"messages": [ASKED, GOOD], "rejected_messages": [ASKED, BAD]}, 1.0),
    (
        "ms-swift",
        {"query": "q", "response": "good", "rejected_response": "bad", "history": [["h", "r"]]},
        1.0,
    ),
    ("ms-swift", {"messages": [ASKED, GOOD], "rejected_response": ["bad", "bad too"]}, 1.0),
    (
        "openai-preference",
        {
            "input": {"messages": [ASKED], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [GOOD],
            "non_preferred_output": [BAD],
        },
        1.0,
    ),
    (
        "openpipe",
        {"messages": [SYSTEM, ASKED, GOOD], "rejected_message": BAD, "split": "TRAIN"},
        1.0,
    ),
    ("open-webui", OPEN_WEBUI, 1.0),
    ("flywheel", {**LOG, "chosen": _completion("good"), "rejected": _completion("bad")}, 1.0),
    (
        "flywheel",
        {**LOG, "response_a": _completion("good"), "response_b": _completion("bad"), "label": "a"},
        1.0,
    ),
    (
        "flywheel",
        {
            **LOG,
            "response": {
                **_completion("good"),
                "choices": [_completion(text)["choices"][0] for text in ("good", "bad")],
            },
            "label": "a",
        },
        1.0,
    ),
    (
        "arena",
        {
            "id": "b-1",
            "model_a": "m1",
            "model_b": "m2",
            "winner": "model_a",
            "evaluation_session_id": "s-1",
            "evaluation_order": 1,
            "conversation_a": [
                {"role": "user", "content": _part("q")},
                {"role": "assistant", "content": _part("good")},
            ],
            "conversation_b": [
                {"role": "user", "content": _part("q")},
                {"role": "assistant", "content": _part("bad")},
            ],
            "language": "en",
            "is_code": False,
        },
        1.0,
    ),
    (
        "arena-55k",
        {
            "id": 30192,
            "model_a": "m1",
            "model_b": "m2",
            "prompt": '["Where is it?", "And now?"]',
            "response_a": '["In the shop.", "good"]',
            "response_b": '["No idea.", "bad"]',
            "winner_model_a": 1,
            "winner_model_b": 0,
            "winner_tie": 0,
        },
        1.0,
    ),
    (
        "arena-votes",
        {
            "tstamp": 1750000000.1,
            "type": "leftvote",
            "models": ["", ""],
            "states": [_state("m1", "good"), _state("m2", "bad")],
            "ip": "",
        },
        1.0,
    ),
    (
        "pku-saferlhf",
        {
            "prompt": "q",
            "response_0": "good",
            "response_1": "bad",
            "prompt_source": "gpt3-turbo",
            "response_0_source": "Alpaca-7B",
            "response_1_source": "Alpaca2-7B",
            "is_response_0_safe": True,
            "is_response_1_safe": False,
            "better_response_id": 0,
            "safer_response_id": 0,
        },
        1.0,
    ),
    (
        "twelve-angry-llms",
        {
            "id": "d-1",
            "prompt": "q",
            "chosen": "good",
            "rejected": "bad",
            "chosen_index": 0,
            "rejected_index": 2,
            "prompt_ija": 0.4,
            "ija_metric": "kendall",
            "pair_agreement": 0.75,
            "judge_values": {"one": [3.0, 2.0, 1.0]},
            "judge_models": {"one": "m"},
            "n_judges": 4,
            "n_judge_failures": 0,
        },
        0.75,
    ),
]
RATINGS = [
    {"prompt": "q", "response": "bad", "helpfulness": 1, "correctness": 4, "coherence": 4,
     "complexity": 2, "verbosity": 2},
    {"prompt": "other", "response": "alone", "helpfulness": 3, "correctness": 4, "coherence": 4,
     "complexity": 2, "verbosity": 2},
    {"prompt": "q", "response": "good", "helpfulness": 4, "correctness": 4, "coherence": 4,
     "complexity": 1, "verbosity": 2},
]  # fmt: skip
