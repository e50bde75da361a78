"""Notes that name a side: "A" on the screen may be response b.

The screen calls the left response A and the right one B, whichever of the two stands there; what
is stored, exported and shown to owners calls them a and b. So a note is read with the side that
its A meant. Where a letter is surely a side, it is marked in place; where it may be one, a line
after the note says which was which; a letter that is an article or stands in code is let alone.
"""

from __future__ import annotations

import re

_SIDES = {"A": "[response b]", "B": "[response a]"}  # of a note written with the sides swapped
WHICH = "(on screen: A = response b, B = response a)"
WHICH_WAY = "(on screen: A, left = response b; B, right = response a)"

# Code and addresses are not prose.
_NOT_PROSE = re.compile(r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
# One letter by itself; beside a CJK character too, where words have no spaces between them.
_LETTER = re.compile(r"(?<![A-Za-z0-9À-ɏ])[ABＡＢ](?![A-Za-z0-9À-ɏ])")
_ODD = frozenset("_@#$&/+-*\\")  # beside a letter: a grade, a formula, a name
_SMALL = re.compile(r"(?<![A-Za-z0-9À-ɏ_.@#$&/+'’\-\\])[ab](?![A-Za-z0-9À-ɏ_@#/+*'’\-\\])")
_ALIKE = re.compile(r"(?<!\w)[АВБΑΒ](?!\w)")  # Cyrillic and Greek letters: perhaps a side
_COMPARES = re.compile(r"\s+(?:less|more|[a-z]+er|worse)\s+(?:\w+\s+)?than\b")
_DIRECTION = re.compile(
    r"\b(?:left|(?:the )?right (?:one|side|hand|response|answer)|(?:on|to) the right|right-hand"
    r"|(?:first|second|former|latter) (?:one|response|answer|reply)|the (?:former|latter)"
    r"|links|rechts|linke\w*|rechte [A-Z]\w+|gauche|droite|izquierda|derecha|sinistra|destra"
    r"|esquerda|direita|слева|справа|лев\w+|прав(?:ый|ая|ое|ого) \w+)\b|左|右",
    re.IGNORECASE,
)
_RESPONSE = frozenset(
    """response responses answer answers reply replies option options choice side text output
    completion candidate model assistant antwort antworten variante seite réponse réponses texte
    respuesta respuestas opción texto risposta risposte opzione testo resposta respostas opção
    odpowiedź antwoord svar vastaus ответ вариант відповідь yanıt cevap jawaban svaret""".split()
)
_OTHER_THINGS = frozenset(
    """vitamin vitamins plan type class grade section part appendix point group hepatitis level
    from team version step exhibit block room gate terminal phase category series league""".split()
)
# After a capital A that opens a sentence: it is a side before these …
_AFTER_SIDE = frozenset(
    """is was has had does did can could will would should may might must gives gave says said
    seems looks feels sounds makes made wins won goes went gets got keeps needs uses lacks misses
    answers explains follows contains includes mentions and or but because while than vs versus
    only also just still even never always doesn't didn't isn't wasn't hasn't can't cannot won't
    ist war hat hatte gibt kann wird macht sagt und oder aber weil ist. est était donne et ou mais
    es era tiene da y o pero porque è ha e ma é tem og er och är en is en и или но
    лучше хуже""".split()
)
# … and the article before these.
_AFTER_ARTICLE = frozenset(
    """good better bad worse great nice lot bit few little more much very rather quite pretty fairly
    really short shorter long longer clear clearer simple simpler single small big large huge full
    complete correct incorrect wrong right true false real perfect decent solid strong weak strange
    weird typical similar different new old second third few fair proper useful helpful harmful
    detailed concise brief direct polite rude friendly warm cold human robot model person user
    customer question response answer reply text sentence paragraph list table joke poem story word
    hint note mistake typo lie problem reason matter case way thing fact source link code
    combination mix couple number tie draw toss close tough hard easy safe unsafe""".split()
)


def with_sides_swapped(note: str) -> str:
    """The note of somebody who saw response b as A, with the sides that its letters meant."""
    pieces: list[str] = []
    doubtful, start = False, 0
    for code in [*_NOT_PROSE.finditer(note), None]:
        prose = note[start : code.start() if code else len(note)]
        marked, doubt = _mark(prose)
        pieces += [marked, code.group() if code else ""]
        doubtful |= doubt
        start = code.end() if code else 0
    text = "".join(pieces)
    prose = _NOT_PROSE.sub(" ", note)
    if _DIRECTION.search(prose):
        return f"{text} {WHICH_WAY}"
    return f"{text} {WHICH}" if doubtful or _ALIKE.search(prose) else text


def _mark(prose: str) -> tuple[str, bool]:
    """The prose with each sure side marked, and whether there are letters in doubt."""
    doubtful = any(_small_is_doubtful(prose, found) for found in _SMALL.finditer(prose))

    def mark(found: re.Match[str]) -> str:
        nonlocal doubtful
        letter = found.group()
        sure = _is_side(prose, found)
        doubtful |= sure is None
        side = _SIDES["A" if letter in "AＡ" else "B"]
        return f"{letter} {side}" if sure else letter

    return _LETTER.sub(mark, prose), doubtful


def _is_side(prose: str, found: re.Match[str]) -> bool | None:
    """Whether a capital letter is a side; None where it may be."""
    before, after = prose[: found.start()].rstrip(), prose[found.end() :]
    word = _last_word(before)
    if word in _RESPONSE:
        return True
    odd = prose[found.start() - 1 : found.start()] in {*_ODD, "."} or after[:1] in _ODD
    if odd or word in _OTHER_THINGS or re.match(r"\.\s?[A-Z]\b", after):
        return None
    opens = not before or before[-1] in '.!?:;\n"“„«(-–—•*'
    follows = re.match(r"\s+([^\W\d_][\w'’]*)", after)
    if found.group() in "BＢ" or not opens or follows is None:
        return True
    next_word = follows[1].lower().replace("’", "'")
    if next_word in _AFTER_SIDE or _COMPARES.match(after):
        return True
    return False if next_word in _AFTER_ARTICLE else None


def _small_is_doubtful(prose: str, found: re.Match[str]) -> bool:
    """Whether a small letter may be a side: `b` always, `a` where no article can stand."""
    if found.group() == "b":
        return True
    follows = re.match(r"\s+([\w'’]+)", prose[found.end() :])
    return follows is None or follows[1].lower() in {"is", "was", "has", "and", "or", "than"}


def _last_word(text: str) -> str:
    found = re.search(r"([^\W\d_]+)$", text)
    return found[1].lower() if found else ""
