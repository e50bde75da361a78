"""Messages inside a text: Human and Assistant turns, ChatML, Llama and other headers.

Such text is read as its messages, or the row is refused: kept as one text, the markers would
be scored as words.
"""

from __future__ import annotations

import itertools
import re

from plaudit.errors import DataError
from plaudit.types import Message, Messages

# What begins a message, with its speaker; and what ends one, which is no part of it.
STYLES = {
    "Human: and Assistant:": (re.compile(r"(?:\A\s*\n\n|\A|\n\n)(Human|Assistant|System):"), ""),
    "<extra_id_1>": (re.compile(r"\s*<extra_id_[01]>(System|User|Assistant)\n?"), ""),
    "ChatML": (re.compile(r"<\|im_start\|>(\w+)\n?"), "<|im_end|>"),
    "Llama 3 headers": (
        re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\s*"),
        "<|eot_id|>",
    ),
    "Llama 4 headers": (re.compile(r"<\|header_start\|>(\w+)<\|header_end\|>\s*"), "<|eot|>"),
    "Gemma's turns": (re.compile(r"<start_of_turn>(\w+)\n?"), "<end_of_turn>"),
    "DeepSeek's turns": (re.compile(r"<｜(User|Assistant)｜>"), "<｜end▁of▁sentence｜>"),
    "<|user|> and <|assistant|>": (re.compile(r"<\|(system|user|assistant)\|>\n?"), "<|end|>"),
}
ENDS = ("<|end_of_text|>", "<|begin_of_text|>", "<|endoftext|>", "<bos>", "<eos>", "</s>", "<s>")
MARKED = re.compile(
    r"<\|im_start\|>|<\|start_header_id\|>|<\|header_start\|>|<extra_id_[01]>|<start_of_turn>|<｜User｜>|"
    r"<\|(?:system|user|assistant)\|>|\[/?INST\]|(?:\A|\n\n)\s*(?:Human|Assistant):"
)
FENCED = re.compile(r"```.*?```", re.DOTALL)
ROLES = {"human": "user", "user": "user", "model": "assistant", "assistant": "assistant"}
ROLES |= {"system": "system", "developer": "developer", "tool": "tool", "ipython": "tool"}


def messages_in(text: str, role: str) -> Messages | None:
    """The messages that a text marks, None where it marks none.

    `role` is whose text it is: what stands before the first marker is theirs. A marker at the
    end of a prompt with nothing after it (the place of the response) is left out.

    Raises DataError where markers do not make a conversation.
    """
    if not ("<" in text or "INST]" in text or "Human:" in text or "Assistant:" in text):
        return None  # found far faster than by the pattern
    quoted = FENCED.sub(lambda fence: "\0" * len(fence[0]), text)  # code that shows markers
    found = MARKED.search(quoted)
    if found is None:
        return None
    if "INST]" in found[0]:
        return _checked(_instructions(text), text, "[INST]", role)
    for name, (begin, end) in STYLES.items():
        marks = [*begin.finditer(quoted)]
        if marks and begin.search(quoted, max(0, found.start() - 2)):
            if len(marks) == 1 and marks[0][0] in ("Human:", "Assistant:"):
                return None  # a text that happens to begin with such a name
            return _checked(_split(text, marks, end, role), text, name, role)
    return None


def _split(text: str, marks: list[re.Match[str]], end: str, role: str) -> list[Message]:
    messages = []
    if head := _stripped(text[: marks[0].start()], end):
        messages.append(Message(role, head))
    stops = [*(mark.start() for mark in marks[1:]), len(text)]
    for mark, stop in zip(marks, stops, strict=True):
        if mark[1].lower() not in ROLES:
            raise DataError(f"a marker in the text names the unknown speaker {mark[1]!r:.40}")
        messages.append(Message(ROLES[mark[1].lower()], _stripped(text[mark.end() : stop], end)))
    return messages


def _stripped(content: str, end: str) -> str:
    content = content.strip()
    while (shorter := _without_mark(content, end)) != content:
        content = shorter
    return content


def _without_mark(content: str, end: str) -> str:
    for mark in (end, *ENDS):
        content = content.removesuffix(mark).removeprefix(mark).strip()
    return content


def _instructions(text: str) -> list[Message]:
    """Llama 2 and Mistral: [INST] <<SYS>> … <</SYS>> user [/INST] assistant."""
    messages = []
    for part in re.split(r"\[INST\]", text)[1:]:
        asked, _, answered = part.partition("[/INST]")
        system = re.match(r"\s*<<SYS>>(.*?)<</SYS>>", asked, re.DOTALL)
        if system:
            messages.append(Message("system", system[1].strip()))
            asked = asked[system.end() :]
        messages += [Message("user", asked.strip()), Message("assistant", _stripped(answered, ""))]
    return messages


def _checked(messages: list[Message], text: str, style: str, role: str) -> Messages:
    if role == "user" and messages and not messages[-1].text:
        messages.pop()  # the place of the response
    speakers = [message.role for message in messages if message.role != "system"]
    if not speakers or any(a == b != "tool" for a, b in itertools.pairwise(speakers)):
        raise DataError(
            f"the text marks messages ({style}) that do not alternate between user and "
            f"assistant: {text!r:.60}"
        )
    return tuple(messages)
