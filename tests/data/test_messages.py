"""Messages in every spelling; the prompt found once; no column left unread in silence."""

import json

import pytest

from plaudit.data import read
from plaudit.data.readers.messages import prompt_messages, response_messages
from plaudit.errors import DataError, UsageError

USER, MORE, SYSTEM = ("user", "q"), ("assistant", "a"), ("system", "s")


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def said(messages):
    return [(message.role, message.text) for message in messages]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n\nHuman: q\n\nAssistant:", [USER]),
        ("Human: q\n\nAssistant: a\n\nHuman: r\n\nAssistant:", [USER, MORE, ("user", "r")]),
        ("q\n\nAssistant: a\n\nHuman: r", [USER, MORE, ("user", "r")]),
        ("q\n<extra_id_1>Assistant\na\n<extra_id_1>User\nr", [USER, MORE, ("user", "r")]),
        ("<extra_id_0>System\ns\n<extra_id_1>User\nq\n<extra_id_1>Assistant\n", [SYSTEM, USER]),
        ("<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n", [SYSTEM, USER]),
        ("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nq<|eot_id|>"
         "<|start_header_id|>assistant<|end_header_id|>\n\n", [USER]),
        ("<|header_start|>user<|header_end|>\n\nq<|eot|>", [USER]),
        ("<s>[INST] <<SYS>>\ns\n<</SYS>>\n\nq [/INST] a </s><s>[INST] r [/INST]", [SYSTEM, USER, MORE, ("user", "r")]),
        ("<bos><start_of_turn>user\nq<end_of_turn>\n<start_of_turn>model\n", [USER]),
        ("<|user|>\nq</s>\n<|assistant|>\n", [USER]),
        ("<｜User｜>q<｜Assistant｜>a<｜end▁of▁sentence｜><｜User｜>r<｜Assistant｜>", [USER, MORE, ("user", "r")]),
        ('[{"role": "user", "content": "q"}]', [USER]),
        ("[{'role': 'system', 'content': 's'}, {'content': 'q', 'role': 'user'}]", [SYSTEM, USER]),
        ("[{'role': 'user', 'content': 'q'}\n {'role': 'assistant', 'content': 'a'}]", [USER, MORE]),
        ('{"from": "human", "value": "q"}', [USER]),
    ],
)  # fmt: skip
def test_messages_inside_a_text(text, expected):
    assert said(prompt_messages(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Human: are we alone?",
        "What do Human: and Assistant: stand for?",
        "Explain:\n```\n\nHuman: hello\n\nAssistant: hi\n```\nplease",
        "Why does a template write <|im_start|> first?",
        '[{"a": 1}] What is wrong with this JSON?',
        '[{"name": "x"}, {"name": "y"}]',
        "{'role' is a word",
        "<b>bold</b> <|",
    ],
)
def test_text_that_marks_no_messages_stays_as_it_is(text):
    assert said(prompt_messages(text)) == [("user", text)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Write a play.\n\nHuman: hi\n\nAssistant: ho", "do not alternate"),
        ("<|im_start|>narrator\nq<|im_end|>", "unknown speaker 'narrator'"),
        ("[{'role': 'user', 'content': broken}]", "neither JSON nor Python"),
    ],
)
def test_markers_that_make_no_conversation_are_refused(text, message):
    with pytest.raises(DataError, match=message):
        prompt_messages(text)


def test_a_response_that_runs_on_is_refused_and_one_with_more_messages_is_read():
    with pytest.raises(DataError, match="must end with an assistant message"):
        response_messages("good\n\nHuman: thanks")
    runs = response_messages("good\n\nHuman: thanks\n\nAssistant: bye")
    assert said(runs) == [("assistant", "good"), ("user", "thanks"), ("assistant", "bye")]
    assert said(response_messages("\n\nAssistant: ")) == [("assistant", "")]


def test_messages_are_whole():
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    first, second, third, fourth = prompt_messages([
        assistant(None, tool_calls=[call], reasoning="hm"),
        {"role": "function", "name": "f", "content": "1", "tool_call_id": "c"},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        user([{"type": "input_text", "text": "q"}, {"type": "image_url", "image_url": {"url": "u"}, "text": None}]),
    ])  # fmt: skip
    assert first.to_dict() == {
        "role": "assistant",
        "content": "",
        "tool_calls": [call],
        "reasoning_content": "hm",
    }
    assert second.to_dict() == {"role": "tool", "content": "1", "name": "f", "tool_call_id": "c"}
    assert third.to_dict()["tool_calls"][0]["function"]["name"] == "f"
    assert fourth.content == (
        {"type": "text", "text": "q"},
        {"type": "image_url", "image_url": {"url": "u"}},
    )
    assert said(prompt_messages([{"type": "text", "text": "q"}])) == [USER]


def test_tool_calls_as_json_are_read():
    call = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
    (message,) = prompt_messages([assistant("", tool_calls=json.dumps([call]))])
    assert message.fields["tool_calls"] == [call]
    assert prompt_messages([assistant("x", tool_calls="")])[0].fields == {}


def test_tools_travel_with_the_row():
    tool = {"type": "function", "function": {"name": "f"}}
    row = {"prompt": "q", "chosen": "x", "rejected": "y"}
    for tools in ([tool], json.dumps([tool]), str([tool])):
        (slate,) = read([{**row, "tools": tools}])
        assert slate.conversation(0).tools == (tool,)
    reading = read([{**row, "tools": "hammer"}])
    assert list(reading) == []
    assert (
        "neither JSON nor Python of tools (where they are not: --columns ignore=tools)"
        in reading.problems[0].reason
    )


@pytest.mark.parametrize(
    ("prompt", "before", "expected"),
    [
        ("q", [user("q")], [USER]),
        ([user(" Q  x\n")], [user("Q x")], [("user", " Q  x\n")]),
        ("q", [{"role": "system", "content": "s"}, user("q")], [SYSTEM, USER]),
        ([{"role": "system", "content": "s"}, user("q")], [user("q")], [SYSTEM, USER]),
        ("q", [user("p"), assistant("a"), user("q")], [("user", "p"), MORE, USER]),
        ("q", [user("q"), assistant("a"), user("q")], [USER, MORE, USER]),
        ("\n\nHuman: q\n\nAssistant:", [user("q")], [USER]),
        ("q", [], [USER]),
    ],
)
def test_the_prompt_repeated_in_the_responses_is_taken_once(prompt, before, expected):
    reading = read(
        [
            {
                "prompt": prompt,
                "chosen": [*before, assistant("x")],
                "rejected": [*before, assistant("y")],
            }
        ]
    )
    (slate,) = reading
    assert said(slate.prompt) == expected
    assert [said(response) for response in slate.responses] == [
        [("assistant", "x")],
        [("assistant", "y")],
    ]
    assert ("taken once" in str(reading)) == bool(before)


def test_a_prompt_repeated_as_text():
    row = {
        "prompt": "Where is my parcel?",
        "chosen": "Where is  my parcel? In the shop.",
        "rejected": "Where is my parcel?\nNo idea.",
    }
    (slate,) = read([row])
    assert [response[0].text for response in slate.responses] == ["In the shop.", "No idea."]
    # In one response alone it is what that response says; a short prompt may be there by chance.
    short = {"prompt": "Hi", "chosen": "Hi you", "rejected": "Hi me"}
    for each in ({**row, "rejected": "No idea."}, short):
        (slate,) = read([each])
        assert [response[0].text for response in slate.responses] == [
            each["chosen"],
            each["rejected"],
        ]


def test_a_study_keeps_its_texts_as_they_are():
    row = {"prompt": "Where is my parcel?", "response_a": "Where is my parcel? [INST]",
           "response_b": "Where is my parcel?\n\nHuman: x", "judgments": []}  # fmt: skip
    (slate,) = read([row])
    assert [response[0].text for response in slate.responses] == [
        row["response_a"],
        row["response_b"],
    ]


def test_responses_to_another_prompt_are_named():
    for chosen, rejected in (
        ([user("z"), assistant("x")], [user("z"), assistant("y")]),
        ([user("a"), assistant("a"), user("q"), assistant("x")], [user("b"), assistant("b"), user("q"), assistant("y")]),
    ):  # fmt: skip
        reading = read([{"prompt": "q", "chosen": chosen, "rejected": rejected}])
        assert list(reading) == []
        assert reading.bad == 1


def test_two_plain_texts_have_no_implicit_prompt():
    reading = read([{"chosen": "Sure! It is here.", "rejected": "Sure! I do not know."}])
    assert list(reading) == []
    assert "--columns prompt=COLUMN" in reading.problems[0].reason
    marked = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    (slate,) = read([{"chosen": f"{marked}x<|im_end|>", "rejected": f"{marked}y<|im_end|>"}])
    assert (said(slate.prompt), said(slate.responses[1])) == ([USER], [("assistant", "y")])


PAIR = {"prompt": "q", "chosen": "x", "rejected": "y"}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "q", "input": "more"}, [("user", "q\nmore")]),
        ({"instruction": "q", "input": ""}, [USER]),
        ({"system": "s", "question": "q"}, [SYSTEM, USER]),
        ({"system_prompt": "s", "prompt": "q"}, [SYSTEM, USER]),
        (
            {"system": "s", "prompt": [{"role": "system", "content": "s"}, user("q")]},
            [SYSTEM, USER],
        ),
        ({"input": "q"}, [USER]),
        ({"context": [user("q")]}, [USER]),
        ({"prompt": "r", "history": [["q", "a"]]}, [USER, MORE, ("user", "r")]),
        ({"prompt": "r", "history": [user("q"), assistant("a")]}, [USER, MORE, ("user", "r")]),
        ({"prompt": "q", "question": "q"}, [USER]),
        ({"prompt": "", "question": "q"}, [USER]),
    ],
)
def test_all_of_the_prompt_is_read(row, expected):
    reading = read([{**row, "chosen": "x", "rejected": "y"}])
    (slate,) = reading
    assert said(slate.prompt) == expected
    reading.refuse_unread()


@pytest.mark.parametrize(
    ("more", "flag", "expected"),
    [
        ({"context": "more"}, "input=context", [("user", "q\nmore")]),
        ({"context": "s"}, "system=context", [SYSTEM, USER]),
        ({"question": "more"}, "ignore=question", [USER]),
        ({"input": "more"}, "input=input", [("user", "q\nmore")]),
        ({"documents": ["d"], "query": "more"}, {"ignore": ["documents", "query"]}, [USER]),
    ],
)
def test_an_unread_part_of_the_conversation_is_refused_with_the_flag(more, flag, expected):
    reading = read([{**PAIR, **more}])
    with pytest.raises(
        DataError, match="looks like a part of the conversation and was not read"
    ) as caught:
        reading.refuse_unread()
    assert "--columns" in str(caught.value)
    reading = read([{**PAIR, **more}], columns=flag)
    (slate,) = reading
    reading.refuse_unread()
    assert said(slate.prompt) == expected


def test_an_unread_column_that_comes_late_is_found_by_the_end():
    reading = read([PAIR] * 50 + [{**PAIR, "context": "c"}])
    reading.refuse_unread()
    list(reading)
    with pytest.raises(DataError, match="first in row 51"):
        reading.refuse_unread()


def test_one_line_says_what_was_read_as_what():
    row = {
        "system": "s",
        "question": "q",
        "response_a": "x",
        "response_b": "y",
        "label": "a",
        "topic": "t",
    }
    assert str(read([row])) == (
        "rows: two-responses: prompt = question, system = system, response a = response_a, "
        "response b = response_b, label = label; not read: topic; label: words (line 1: 'a' is a)"
    )


def test_columns_are_mapped_by_role():
    row = {"prompt": "s", "question": "q", "one": "x", "two": "y", "best": "two"}
    (slate,) = read(
        [row], columns="system=prompt,prompt=question,response_a=one,response_b=two,label=best"
    )
    assert said(slate.prompt) == [SYSTEM, USER]
    assert slate.preference(0, 1).p == 0.0
    for columns, message in (
        ("response_a=one", "name both responses"),
        ("prompt=question,prompt=prompt", "'prompt' is given twice"),
        ("prompt", "expected role=column"),
    ):
        with pytest.raises(UsageError, match=message):
            read([row], columns=columns)
    with pytest.raises(DataError, match="column 'three' is not there; columns: prompt, question"):
        read([row], columns="response_a=one,response_b=three")


@pytest.mark.parametrize(
    ("columns", "flag"),
    [
        ("history,human_ref_A,human_ref_B,labels", "prompt=history,response_a=human_ref_A,response_b=human_ref_B,label=labels"),
        ("Prompt,Chosen,Rejected", "prompt=Prompt,chosen=Chosen,rejected=Rejected"),
        ("text", "prompt=COLUMN_PROMPT,response_a=COLUMN_RESPONSE_A,response_b=COLUMN_RESPONSE_B,label=COLUMN_LABEL"),
    ],
)  # fmt: skip
def test_the_flag_to_type_can_work(columns, flag):
    row = dict.fromkeys(columns.split(","), "a")
    with pytest.raises(DataError) as caught:
        read([row])
    assert f"--columns {flag})" in str(caught.value)
    if "COLUMN_" not in flag:
        assert read([row], columns=flag).format in ("trl", "two-responses")


def test_each_row_comes_with_its_slate_or_its_problem():
    found = list(read([PAIR, 3, {**PAIR, "prompt": 5}]).each())
    assert found[0][0] == PAIR
    assert found[0][1].responses[0][0].text == "x"
    assert str(found[1][1]) == "rows:2: expected an object, found int"
    assert str(found[2][1]) == "rows:3: a prompt must be text or messages, found int"


def test_lists_in_the_cells_of_a_table_are_read(tmp_path):
    (tmp_path / "a.csv").write_text(
        "prompt,responses,ratings,preferred\n"
        'q,"[""x"", ""y""]","[1, null]",1\n'
        "q,\"['x', 'y']\",\"[2, 1]\",\n"
    )
    reading = read(str(tmp_path / "a.csv"))
    first, second = reading
    assert (reading.format, first.preference(0, 1).p, second.preference(0, 1).p) == ("ranked", 0, 1)
    votes = '[{"label": "a"}, {"label": "b"}, {"label": "a"}]'
    (slate,) = read([{"prompt": "q", "response_a": "x", "response_b": "y", "annotations": votes}])
    assert slate.votes == (2, 1, 0)


def test_rating_rows_of_one_prompt_are_one_slate(tmp_path):
    from .foreign_rows import RATINGS

    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in [*RATINGS, {**RATINGS[0], "response": None}])
    )
    reading = read(str(path))
    slates = list(reading)
    assert (reading.format, reading.rows, reading.bad, len(slates)) == (
        "helpsteer2-ratings",
        4,
        1,
        2,
    )
    assert [response[0].text for response in slates[0].responses] == ["bad", "good"]
    assert slates[0].preference(0, 1).p == 0.0
    assert str(reading.problems[0]) == f"{path}:4: fields 'prompt' and 'response' are needed"
