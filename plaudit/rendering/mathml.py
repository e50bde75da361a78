"""LaTeX as MathML: latex2mathml's tree, made anew from what the allow-list has.

Shown as it was written is what cannot be converted, what defines macros (they multiply), what
would hide or cover (\\phantom, \\rlap), and a formula of which a letter or digit got lost.
"""

from __future__ import annotations

import re
from collections import Counter
from unicodedata import normalize
from xml.etree.ElementTree import Element as Converted

from latex2mathml.converter import convert_to_element

from plaudit.rendering.mathematics import LONGEST
from plaudit.rendering.plain import visible
from plaudit.rendering.tree import Element, Node, allows, element, texts

DEEPEST = 40
DEEPEST_SCRIPT = 5  # a script of a script of a script … gets too small to read
MOST_ELEMENTS = 4000
WIDEST = 4.0  # em, of a space
_REFUSED = re.compile(
    r"\\(?:[gex]?def|let|futurelet|(?:re)?newcommand|providecommand|(?:re)?newenvironment"
    r"|DeclareMathOperator|csname|expandafter|catcode|input|include|require|write|loop|verb"
    r"|[hv]?phantom|smash|[rlc]lap|math[rlc]lap|unicode|href|url|style|class|sideset|skew"
    r"|tiny|Tiny|mathchoice)(?![a-zA-Z])"
)
_NAMES = {
    **dict.fromkeys(("aligned", "align", "flalign", "split"), "align*"),
    **dict.fromkeys(("gathered", "gather", "multline", "displaymath", "math"), "matrix"),
    **dict.fromkeys(("dcases", "rcases"), "cases"),
}
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([a-zA-Z]+)\*?\}")
_DIMENSION = re.compile(r"\\\\\*?\s*\[\s*-?[\d.]*\s*[a-z]{2}\s*\]")
_MARKUP = re.compile(
    r"\\label\s*\{[\w:.\- ]{0,40}\}|\\(?:text)?color\s*(?:\[\w*\])?\s*\{[#\w!,. ]{0,30}\}"
    r"|\\(?:nonumber|notag|limits|nolimits|displaystyle|textstyle|normalsize|large|Large)(?![a-zA-Z])"
)
_SPACE = re.compile(
    r"\\(?:hspace\*?|hskip|kern|mkern|mskip|mspace|vspace\*?|rule)\s*\{?\s*(-?[\d.]+)\s*([a-z]{2})\s*\}?"
    r"(?:\{[\w.\- ]*\})?"
)
_UNITS = {"em": 1.0, "ex": 0.5, "mu": 1 / 18, "pt": 0.1, "px": 0.0625, "cm": 2.8, "mm": 0.28}
_IN_SOURCE = re.compile(
    r"\\(?:begin|end)\s*\{[a-zA-Z]+\*?\}(?:\s*\{[lcr|\s]*\}|\s*\[[tcb]\])?|\\hspace\{[-\d.]+em\}|\\[a-zA-Z]+"
)
_UNKNOWN = re.compile(r"\\[a-zA-Z]")  # a command that is shown by its name
_ENTITY = re.compile(r"&#x([0-9A-Fa-f]{1,6});")
_SPACES = {
    "negativethinmathspace": "-0.167em",
    "negativemediummathspace": "-0.222em",
    "negativethickmathspace": "-0.278em",
    "thinmathspace": "0.167em",
    "thickmathspace": "0.278em",
}
_SCRIPTS = {"msub", "msup", "msubsup"}
_LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}
_BELOW = frozenset("lim max min sup inf limsup liminf argmax argmin".split())
_STROKES = ("updiagonalstrike", "downdiagonalstrike", "horizontalstrike")
_FONTS = (("bold", "bold"), ("sans-serif", "sans"), ("monospace", "mono"))
# Alphabets that browsers do not draw by an attribute: the letters themselves (Unicode 1D400 ff.).
_ALPHABETS = {"double-struck": 0x1D538, "script": 0x1D49C, "fraktur": 0x1D504}


def mathml(latex: str, display: bool) -> Node:
    """A formula as MathML, or as the code that it was written as."""
    try:
        tree = _converted(latex, display)
    except Exception:  # whatever the converter stumbles over is shown as it was written
        tree = None
    if tree is None:
        return element("code", *visible(latex.strip()), dir="ltr")
    return element("math", tree, display="block" if display else "inline", dir="ltr")


def _converted(latex: str, display: bool) -> Element | None:
    if len(latex) > LONGEST or _REFUSED.search(latex):
        return None
    source = _prepared(latex, display)
    converted = convert_to_element(source, display="block" if display else "inline")
    row = _Walk(display).element(converted[0], 0, 0)
    if _UNKNOWN.search("".join(texts([row]))):
        return None
    written = Counter(filter(str.isalnum, normalize("NFKC", _IN_SOURCE.sub("", source))))
    shown = Counter(filter(str.isalnum, normalize("NFKC", "".join(texts([row])))))
    return row if written <= shown else None


def _prepared(latex: str, display: bool) -> str:
    """LaTeX with what the converter does not know put in terms that it does."""
    source = _MARKUP.sub(" ", _DIMENSION.sub(r"\\\\", latex))
    source = re.sub(r"(\\begin\{[a-z]+\*?\})\[[tcb]\]", r"\1", source)
    source = re.sub(r"(?<!\\)((?:\\\\)*)%", r"\1\\%", source)  # no comment: nothing is hidden
    source = _SPACE.sub(_bounded_space, source)
    source = re.sub(r"\\(begin|end)\{(?:equation|eqnarray)\*?\}", _group, source)
    source = re.sub(r"\\begin\{alignat\*?\}\s*\{\d+\}", r"\\begin{alignat}", source)
    source = source.replace("{alignat", "{align")
    source = _ENVIRONMENT.sub(lambda m: f"\\{m[1]}{{{_NAMES.get(m[2], m[2])}}}", source)
    if display and "\\\\" in source and "\\begin" not in source:
        source = f"\\begin{{matrix}}{source}\\end{{matrix}}"
    return source


def _group(match: re.Match[str]) -> str:
    """An equation is a row; the three columns of eqnarray are an array's."""
    if "eqnarray" in match[0]:
        return "\\begin{array}{rcl}" if match[1] == "begin" else "\\end{array}"
    return "{" if match[1] == "begin" else "}"


def _bounded_space(match: re.Match[str]) -> str:
    width = float(match[1]) * _UNITS.get(match[2], 1.0)
    return f"\\hspace{{{min(max(width, -0.3), WIDEST):.2f}em}}" if width else " "


class _Walk:
    """Makes our elements of the converter's, counting them."""

    def __init__(self, display: bool) -> None:
        self._display = display
        self._left = MOST_ELEMENTS

    def element(self, node: Converted, depth: int, script: int) -> Element:
        self._left -= 1
        script += node.tag in _SCRIPTS
        if depth > DEEPEST or script > DEEPEST_SCRIPT or self._left < 0:
            raise ValueError("a formula too deep or too large")
        made = Element(node.tag, self._attributes(node))
        if node.text:
            made.children += visible(self._text(node))
        for child in node:
            made.children.append(self.element(child, depth + 1, script))
            if child.tail:
                raise ValueError("text between elements")
        return self._shaped(node, made)

    def _text(self, node: Converted) -> str:
        text = _ENTITY.sub(lambda match: chr(int(match[1], 16)), node.text or "")
        start = _ALPHABETS.get(node.get("mathvariant", ""))
        if start is None:
            return text
        # Letters that had a place in Unicode before the alphabets kept it.
        return "".join(_letter(c, start) if c.isascii() and c.isalpha() else c for c in text)

    def _attributes(self, node: Converted) -> dict[str, str]:
        kept = {}
        for name, value in node.attrib.items():
            value = _SPACES.get(value, value)
            if allows(node.tag, name, value) and name != "class":
                kept[name] = value
        classes = [ours for theirs, ours in _FONTS if theirs in node.get("mathvariant", "")]
        align = node.get("columnalign", "")
        classes += {"left": ["al"], "right": ["ar"]}.get(align, [])
        if node.tag == "menclose":
            struck = any(stroke in node.get("notation", "") for stroke in _STROKES)
            classes.append("struck" if struck else "boxed")
        if classes:
            kept["class"] = " ".join(classes)
        return kept

    def _shaped(self, node: Converted, made: Element) -> Element:
        """Elements that browsers do not draw, as those that they do."""
        if made.tag == "menclose":
            made.tag = "mrow"
        elif made.tag == "mpadded":
            stroke = list(texts([made])) == ["\u29f8"]  # the stroke of \not, over what follows
            made = made if stroke else Element("mrow", {}, made.children)
            if stroke:
                made.attributes["width"] = "0"
        elif made.tag in _LIMITS and self._display and made.children:
            base = made.children[0]
            if isinstance(base, Element) and base.tag == "mo":
                below = base.attributes.get("movablelimits") == "true"
                if below or "".join(texts([base])).replace("\u2009", "") in _BELOW:
                    made.tag = _LIMITS[made.tag]
        return made


def _letter(character: str, capital_a: int) -> str:
    offset = ord(character) - ord("A") if character.isupper() else 26 + ord(character) - ord("a")
    there = chr(capital_a + offset)
    if normalize("NFKC", there) == character:
        return there
    return character
