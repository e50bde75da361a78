"""Code with its keywords, strings and comments coloured, in the languages listed here."""

from __future__ import annotations

from pygments.lexer import Lexer
from pygments.lexers.c_cpp import CLexer, CppLexer
from pygments.lexers.css import CssLexer
from pygments.lexers.data import JsonLexer, YamlLexer
from pygments.lexers.diff import DiffLexer
from pygments.lexers.dotnet import CSharpLexer
from pygments.lexers.go import GoLexer
from pygments.lexers.html import HtmlLexer, XmlLexer
from pygments.lexers.javascript import JavascriptLexer
from pygments.lexers.jvm import JavaLexer
from pygments.lexers.python import PythonLexer
from pygments.lexers.rust import RustLexer
from pygments.lexers.shell import BashLexer
from pygments.lexers.sql import SqlLexer
from pygments.token import Comment, Generic, Keyword, Name, Number, Operator, String

from plaudit.rendering.plain import visible
from plaudit.rendering.tree import Node, element

LONGEST = 20_000  # characters; colouring costs more than it tells beyond
_LEXERS: dict[str, type[Lexer]] = {
    **dict.fromkeys(("python", "py", "python3"), PythonLexer),
    **dict.fromkeys(("javascript", "js", "jsx", "typescript", "ts", "tsx"), JavascriptLexer),
    **dict.fromkeys(("json", "jsonc"), JsonLexer),
    **dict.fromkeys(("bash", "sh", "shell", "zsh"), BashLexer),
    **dict.fromkeys(("html", "vue"), HtmlLexer),
    **dict.fromkeys(("xml", "svg"), XmlLexer),
    "css": CssLexer,
    "sql": SqlLexer,
    "java": JavaLexer,
    "c": CLexer,
    **dict.fromkeys(("cpp", "c++"), CppLexer),
    **dict.fromkeys(("csharp", "c#", "cs"), CSharpLexer),
    "go": GoLexer,
    **dict.fromkeys(("rust", "rs"), RustLexer),
    **dict.fromkeys(("yaml", "yml"), YamlLexer),
    **dict.fromkeys(("diff", "patch"), DiffLexer),
}
_CLASSES = (
    (Keyword, "k"),
    (Operator.Word, "k"),
    (String, "s"),
    (Comment, "c"),
    (Number, "n"),
    (Name.Function, "f"),
    (Name.Class, "f"),
    (Name.Tag, "k"),
    (Generic.Inserted, "added"),
    (Generic.Deleted, "removed"),
)


def coloured(code: str, language: str) -> list[Node]:
    """The code, coloured where its language is known; the same characters either way."""
    lexer = _LEXERS.get(language.lower())
    if lexer is None or len(code) > LONGEST:
        return visible(code)
    tokens = list(lexer(stripnl=False, ensurenl=False).get_tokens(code))
    if "".join(text for _, text in tokens) != code:
        return visible(code)
    nodes: list[Node] = []
    for kind, text in tokens:
        name = next((name for parent, name in _CLASSES if kind in parent), "")
        shown = visible(text)
        nodes += [element("span", *shown, class_=name)] if name else shown
    return nodes
