"""Messages to HTML, each as what it is: a person's prompt, a response, a tool call, its result.

Messages are mappings, as the study stores them: this runs in the worker, which needs no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plaudit.rendering.code import coloured
from plaudit.rendering.images import picture
from plaudit.rendering.markdown import markdown
from plaudit.rendering.parts import IMAGES, Stored, address_of, as_json, indented, parts_of, written
from plaudit.rendering.plain import block, plain, too_complex
from plaudit.rendering.tree import Element, Node, element, serialise

FOLDED = 600  # characters of a system prompt, a tool's result or a reasoning that stay unfolded


def shown(messages: Sequence[Stored], prompt_format: str) -> list[dict[str, str]]:
    """[{"role", "html"}] of each message.

    Args:
        messages: as they are stored, with role, content and what else they hold.
        prompt_format: plain or markdown, of what the assistant has not written; tool results are
            always plain.
    """
    return [{"role": m["role"], "html": _html(m, prompt_format)} for m in messages]


def _html(message: Stored, prompt_format: str) -> str:
    try:
        return serialise(_nodes(message, prompt_format == "markdown"))
    except Exception:  # a text that any rule stumbles over is shown as it was written
        return too_complex(written(message))


def _nodes(message: Stored, as_markdown: bool) -> list[Node]:
    role, fields = message["role"], message
    nodes: list[Node] = []
    if reasoning := fields.get("reasoning_content"):
        body: list[Node] = [block(*markdown(str(reasoning)), text=str(reasoning))]
        nodes.append(_folded("reasoning", "Reasoning", str(reasoning), body))
    for part in parts_of(message):
        nodes += _part(part, role, as_markdown)
    calls = fields.get("tool_calls") or []
    for call in calls if isinstance(calls, list) else [calls]:
        nodes += _call(call)
    if not nodes:
        return [element("p", "(empty)", class_="image")]
    if role in ("system", "developer") and len(_text(message)) > FOLDED:
        return [_folded("system", f"{role.capitalize()} prompt", _text(message), nodes)]
    if role == "tool":
        name = f"Result of {fields['name']}" if fields.get("name") else "Result"
        return [_folded("result", name, _text(message), nodes)]
    return nodes


def _text(message: Stored) -> str:
    return "".join(str(p.get("text") or "") for p in parts_of(message) if p["type"] == "text")


def _part(part: Stored, role: str, as_markdown: bool) -> list[Node]:
    kind = str(part["type"])
    if kind == "text":
        text = str(part.get("text") or "")
        if not text.strip():
            return []
        if role == "tool":
            pretty = indented(text)
            code = element("pre", element("code", *coloured(pretty, "json")), dir="ltr")
            return [block(code if pretty != text else plain(text), text=text)]
        as_markdown = as_markdown or role == "assistant"
        return [block(*(markdown(text) if as_markdown else [plain(text)]), text=text)]
    if kind in IMAGES:
        return [element("p", *picture(address_of(part), str(part.get("alt") or "")))]
    return [element("p", f"[{kind}] (not shown)", class_="image")]


def _call(call: Any) -> list[Node]:
    """A tool call: its name and arguments, indented where they are JSON."""
    function = call.get("function", call) if isinstance(call, Mapping) else {}
    if not isinstance(function, Mapping) or not function.get("name"):
        return [_labelled("Tool call", "", as_json(call))]
    arguments = function.get("arguments", function.get("input", ""))
    return [_labelled("Tool call: ", str(function["name"]), as_json(arguments))]


def _labelled(label: str, name: str, body: str) -> Element:
    title = element("div", label, *([element("code", name)] if name else []), class_="label")
    code = element("pre", element("code", *coloured(body, "json")), dir="ltr")
    return element("div", title, *([code] if body else []), class_="call")


def _folded(name: str, title: str, text: str, body: list[Node]) -> Element:
    """A part with its title, to be opened where it is long."""
    long = len(text) > FOLDED
    summary = element("summary", f"{title} ({len(text):,} characters)" if long else title)
    details = element("details", summary, *body, class_=name)
    if not long:
        details.attributes["open"] = ""
    return details
