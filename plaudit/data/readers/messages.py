"""Prompts and responses of any layout as Messages, and the prompt found once."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.data.plain import plain
from plaudit.data.readers.transcripts import messages_in
from plaudit.errors import DataError
from plaudit.types import Message, Messages, as_messages

ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "ai": "assistant",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
    "prompter": "user",
}
CALLS = ("function_call", "tool_call")
KEYS = {"role", "from", "speaker"}
LISTED = re.compile(r"\s*(\[\s*\{.*\}\s*\]|\{.*\})\s*", re.DOTALL)


def prompt_messages(value: Any, role: str = "user", marked: bool = True) -> Messages:
    """Messages of a prompt: text is one user message, or those that its markers say.

    Without `marked`, text is taken as it is: of what plaudit wrote itself.

    Raises DataError on what is neither text nor messages.
    """
    if isinstance(value, str):
        if not marked:
            return (Message(role, value),)
        listed = listed_messages(value)
        return messages_in(value, role) or (Message(role, value),) if listed is None else listed
    if isinstance(value, Mapping) and KEYS & value.keys():
        value = [value]
    if isinstance(value, (list, tuple)):
        if value and all(
            isinstance(v, Mapping) and "type" in v and not KEYS & v.keys() for v in value
        ):
            value = [{"role": role, "content": value}]
        return as_messages([*map(_standard, value)])
    what = "prompt" if role == "user" else "response"
    raise DataError(f"a {what} must be text or messages, found {type(value).__name__}")


def response_messages(value: Any, marked: bool = True) -> Messages:
    """Messages of a response: text is one assistant message; messages must end with one."""
    messages = prompt_messages(value, "assistant", marked)
    if messages and messages[-1].role == "assistant":
        return messages
    raise DataError("a response's messages must end with an assistant message")


def listed_messages(text: str) -> Messages | None:
    """Messages that a table holds as JSON or as Python writes them; None for other text."""
    if (
        text.lstrip()[:1] not in ("[", "{")
        or not LISTED.fullmatch(text)
        or not re.search(r"""['"](role|from|speaker)['"]\s*:""", text)
    ):
        return None
    value = json_value(text, "messages")
    value = [value] if isinstance(value, dict) else value
    if not isinstance(value, list) or not all(
        isinstance(v, dict) and KEYS & v.keys() for v in value
    ):
        return None
    return as_messages([*map(_standard, value)])


def listed(value: Any, what: str) -> Any:
    """The list that a table holds as text; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        return json_value(value, what)
    return value


def json_value(text: str, what: str) -> Any:
    """The value that a table holds as JSON or as Python writes it. Raises DataError on neither."""
    try:
        return json.loads(text, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        pass
    # Arrays of NumPy are written without commas between their elements.
    for each in (text, re.sub(r"\}\s*\n\s*\{", "}, {", text)):
        try:
            return plain(ast.literal_eval(each.strip()))
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
    raise DataError(f"neither JSON nor Python of {what}: {text!r:.60}")


def _standard(message: Any) -> Any:
    """The message with role and content, where it has them under other names."""
    if not isinstance(message, Mapping):
        return message
    result = dict(message)
    role = next((message[name] for name in ("role", "from", "speaker") if message.get(name)), None)
    known = str(role).lower() if isinstance(role, str) else role
    result["role"] = ROLES.get(known, known) if isinstance(known, str) else known
    for name in ("value", "text", "utterance"):
        if "content" not in message and isinstance(message.get(name), str):
            result["content"] = message[name]
    if "content" not in result and not message.get("tool_calls"):
        raise DataError(f"a message has no content: {message!r:.80}")
    for name in ("reasoning", "thinking"):
        if message.get(name) and not message.get("reasoning_content"):
            result["reasoning_content"] = message[name]
    call = message.get("function_call")
    if known in CALLS:
        call, result["content"] = _call(result.get("content")), ""
        result["role"] = "assistant"
    if isinstance(message.get("tool_calls"), str):  # as JSON, where a table has no lists
        calls = message["tool_calls"].strip()
        result["tool_calls"] = json_value(calls, "tool calls") if calls else None
    if isinstance(call, Mapping) and not message.get("tool_calls"):
        result["tool_calls"] = [{"type": "function", "function": dict(call)}]
    if isinstance(result.get("content"), (list, tuple)):
        result["content"] = [*map(_part, result["content"])]
    return result


def _call(text: Any) -> Any:
    try:
        call = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        call = None
    if not isinstance(call, dict) or "name" not in call:
        raise DataError(f"a function call must be JSON with its name, found {text!r:.60}")
    return call


def _part(part: Any) -> Any:
    """A content part, with `type` text where it is text under another name."""
    text = part.get("text") if isinstance(part, Mapping) else None
    if isinstance(text, str) and part.get("type") in (None, "input_text", "output_text"):
        return {"type": "text", "text": text}
    return part


def prompt_once(prompt: Messages, responses: Sequence[Messages]) -> tuple[Messages, list[Messages]]:
    """Prompt and responses, where the responses may repeat the prompt (white space apart).

    The prompt may stand inside them as a whole, after a system message, or as the last of its
    messages, the others being in the responses only; or, of plain texts, at the head of each.

    Raises DataError where a response begins with other messages than the prompt's.
    """
    if not any(len(r) > 1 and r[0].role in ("system", "developer", "user") for r in responses):
        return prompt, _texts_once(prompt, responses)
    heads, tails = [], []
    for response in responses:
        end = _end_of(prompt, response)
        heads.append(response[:end] if end > len(prompt) else prompt)
        tails.append(response[end:])
    longest = max(heads, key=len)
    if any(_words(head) != _words(longest) for head in heads):
        raise DataError("the responses repeat the prompt, each with other messages before it")
    return longest[: max(0, len(longest) - len(prompt))] + prompt, tails


def _end_of(prompt: Messages, response: Messages) -> int:
    """Where the repeated prompt ends in a response; 0 where it is not repeated."""
    if response[0].role == "assistant" and len(response) == 1:
        return 0
    sought, found = _words(prompt), _words(response)
    for start in range(len(response) - len(prompt), -1, -1):
        if found[start : start + len(prompt)] == sought and start + len(prompt) < len(response):
            return start + len(prompt)
    for skipped in range(1, len(prompt)):  # a system message that only the prompt has
        end = len(prompt) - skipped
        if found[:end] == sought[skipped:] and end < len(response):
            return end
    if response[0].role in ("system", "developer", "user"):
        raise DataError(
            f"a response begins with a {response[0].role} message that is not the prompt: "
            f"{response[0].text!r:.60}"
        )
    return 0


def _words(messages: Messages) -> list[tuple[str, str]]:
    return [(m.role, " ".join(m.text.split())) for m in messages]


def _texts_once(prompt: Messages, responses: Sequence[Messages]) -> list[Messages]:
    """Responses without the prompt's text, where every one of them begins with all of it.

    A prompt of fewer than four words may begin a response by chance ("Hi").
    """
    texts = [response[0].content for response in responses if len(response) == 1]
    asked = prompt[-1].text if prompt and prompt[-1].role == "user" else ""
    words = asked.split() if len(texts) == len(responses) > 1 else []
    if len(words) < 4:
        return list(responses)
    rests = []
    for text in texts:
        if not isinstance(text, str) or not text.lstrip().startswith(words[0]):
            return list(responses)
        *begin, rest = [*text.split(None, len(words)), ""][: len(words) + 1]
        if begin != words:
            return list(responses)
        rests.append(rest)
    return [
        (Message("assistant", rest, response[0].fields),)
        for rest, response in zip(rests, responses, strict=True)
    ]
