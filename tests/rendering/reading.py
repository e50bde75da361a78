"""What a reader of the HTML reads, and whether it keeps to the allow-list, told by another parser."""

import re
from html.parser import HTMLParser
from unicodedata import normalize

from plaudit.rendering import tree
from plaudit.rendering.messages import shown

INLINE = {"strong", "em", "s", "sub", "sup", "b", "i", "u", "ins", "del", "small", "mark", "q", "cite", "abbr", "a", "span", "code", "kbd", "samp", "var"}  # fmt: skip
WORD = re.compile(r"[^\W_]+|[☐☑]")


class Reader(HTMLParser):
    """The text of HTML; asserts that every tag and attribute is one that is allowed."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.parts, self.open = [], []

    def handle_starttag(self, tag, attributes):
        assert tag in tree.TAGS, tag
        for name, value in attributes:
            assert tree.allows(tag, name, value or ""), (tag, name, value)
            self.parts += [f" {value} "] if name == "alt" and value else []
        if tag not in tree.VOID:
            self.open.append(tag)
        self.space(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.space(tag)

    def space(self, tag):
        mathematics = tag == "math" or (
            tag.startswith("m") and tag in tree.TAGS and tag not in ("mark",)
        )
        if tag not in INLINE and not mathematics:
            self.parts.append(" ")

    def handle_data(self, data):
        self.parts.append(data)

    def unknown_decl(self, data):
        raise AssertionError(data)

    handle_comment = handle_decl = handle_pi = unknown_decl


def read(html):
    """What stands in the HTML, without its markup."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert not reader.open
    return "".join(reader.parts)


def words(text):
    return WORD.findall(normalize("NFKC", text))


def rendered(text, prompt_format="plain", role="assistant", **fields):
    return shown([{"role": role, "content": text, **fields}], prompt_format)[0]["html"]
