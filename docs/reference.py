"""Write docs/reference.md, the Python reference, from the docstrings of plaudit's public names.

python docs/reference.py
"""

import inspect
from pathlib import Path

import plaudit

PAGE = Path(__file__).with_name("reference.md")
HEAD = """# Python reference

Written by `python docs/reference.py` from the docstrings; change those, not this page.
Names are imported on first use, so `import plaudit` is light and needs no torch.

"""


def page():
    """The whole page as text."""
    names = sorted(plaudit.EXPORTS, key=str.lower)
    index = ", ".join(f"[{name}](#{name.lower()})" for name in names)
    return HEAD + index + "\n\n" + "\n".join(_entry(name) for name in names)


def _entry(name):
    value = getattr(plaudit, name)
    parts = [f"## {name}\n", _signature(name, value), _text(value)]
    if inspect.isclass(value):
        for member, function in sorted(_members(value)):
            parts += [f"### {name}.{member}\n", _signature(member, function), _text(function)]
    return "\n".join(part for part in parts if part)


def _members(value):
    """Documented methods and properties that plaudit wrote for a class."""
    for owner in inspect.getmro(value):
        if owner.__module__.startswith("plaudit."):
            for name, one in vars(owner).items():
                known = inspect.isfunction(one) or isinstance(one, (property, classmethod))
                if known and not name.startswith("_") and vars(owner)[name] is _found(value, name):
                    yield name, one


def _found(value, name):
    return next(vars(owner)[name] for owner in inspect.getmro(value) if name in vars(owner))


def _signature(name, value):
    """The call in one line, or a line each parameter; nothing for a property."""
    if isinstance(value, property):
        return ""
    signature = inspect.signature(getattr(value, "__func__", value))
    found = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    parts = []
    for parameter in found:
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in "".join(p[:1] for p in parts):
            parts.append("*")
        parts.append(_parameter(parameter))
    end = f") -> {_type(signature.return_annotation)}"
    end = ")" if signature.return_annotation is signature.empty or inspect.isclass(value) else end
    line = f"{name}({', '.join(parts)}{end}"
    if len(line) > 96:
        line = f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + end
    return f"```python\n{line}\n```\n"


def _parameter(parameter):
    stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    text = stars + parameter.name
    if parameter.annotation is not parameter.empty:
        text += f": {_type(parameter.annotation)}"
    if parameter.default is parameter.empty:
        return text
    hidden = inspect.isfunction(parameter.default) or "0x" in repr(parameter.default)
    value = "…" if hidden or "<factory>" in repr(parameter.default) else repr(parameter.default)
    return f"{text} = {value}"


def _type(annotation):
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _text(value):
    """The docstring; its indented parts (arguments, examples, code) as they are."""
    text = inspect.getdoc(value) or ""
    lines, open_ = [], False
    for line in text.splitlines():
        fenced = line.startswith((" ", ">>>")) or (open_ and line and lines[-1] != "")
        if fenced and not open_:
            lines += ["", "```text"] if lines and lines[-1] else ["```text"]
        if open_ and not fenced and line:
            while lines[-1] == "":
                lines.pop()
            lines += ["```", ""]
            open_ = False
        open_ = open_ or fenced
        lines.append(line)
    if open_:
        lines.append("```")
    return "\n".join(lines).rstrip() + "\n" if text else ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
