"""Where sentences and lines end, in a whole text and in one that is still growing; and the length of pieces.

Sentence ends are sentencex's (Wikimedia, MIT), with the corrections in `_is_end`: it takes whole texts and knows the
abbreviations, but not pauses, tags, lists and lines.
"""

from __future__ import annotations

import re
import unicodedata

from sentencex import segment

from ..checkpoint.architecture import PIECE_CHARS

MARKS = ".!?…。！？"
_TAG = re.compile(r"\[[A-Za-z][\w '.-]{0,30}\]")  # [laugh], [clear throat]: a piece never ends inside one
_HELD = "\ue000"  # replaces spaces inside a tag; clean() removes it from the text itself
_OPEN_TAG = re.compile(r"\[[^\[\]]{0,60}$|<[A-Za-z/!][^<>]{0,200}$")
_CLAUSE_END = re.compile(r"(?<=[,;:—–])\s+|(?<!\s)\s+(?=[-—–]\s)")
_MASKED = re.compile(
    '["“”«»„()\\[\\]\ud800-\udfff\ue000-\uf8ff*_]'
)  # sentencex sees spaces here: it would wait for the other one
_CLOSING = re.compile(r"[\"'”’)\]»*_]*")
_LINE_END = re.compile(r"(?<![ \t\r])[ \t\r]*\n\s*")
_BULLET = re.compile(r"(?:[-*+•◦▪‣–—#>|]|\(?[0-9]{1,3}[.)])[ \t]|[#|>]")
_WRAPPED = 50  # characters of a line; a shorter one was not broken for want of room
# Where sentencex sees an end or does not, by chance.
_UNSURE = re.compile(r"(?:[0-9]\s?[AaPp]\.[Mm]|\betc)\.\s+(?=[A-Z][a-z']|[AI]\s)")
_TIME = re.compile(r"\b[ap]\.m\.$", re.IGNORECASE)
_TIME_GOES_ON = re.compile(  # what belongs to a time, or a word that is not yet whole
    r"(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|January|February|March|April|May|June|July|August|September|October"
    r"|November|December|Eastern|Central|Mountain|Pacific|Greenwich|[A-Z]{1,3}T|UTC|ET|CT|PT)\b|[A-Z][\w'’]*$"
)
_TIME_FIRST = re.compile(  # At 5 p.m. Bob left; the 5 p.m. Amtrak train
    r"\W*(?:at|by|around|about|until|till|after|before|since|from|between)\b[^a-z]*(?:[ap]\.m\.\W*(?:to|and|until)?[^a-z]*)?"
    r"[ap]\.m\.|.*\b(?:the|an?|my|our|your|his|her|their|this|every) [0-9:]+\s?[ap]\.m\.",
    re.IGNORECASE | re.DOTALL,
)
_CITED = re.compile(r"\b(?:Fed|Civ|Crim|Evid|Bankr|Supp|Cir|Stat|Proc)\.$")
_LIST_NUMBER = re.compile(r"[ \t]*\(?(?:[0-9]{1,3}|[A-Za-z]|[IVX]{2,5})[.)]")
_BEFORE_NUMBER = re.compile(
    r"\b(?:approx|vol|ch|sec|no|nr|pp?|figs?|art|ver|eq|tel|ca|v|incl|ea|apt|ext|rm|nos|ste|bldg|rte|hwy|pg|est|(?-i:Mt|Ft|Mon|Tues?|Wed|Thu|Thurs|Fri|Sat|Sun))\.$",
    re.IGNORECASE,
)
_ABBREVIATED = re.compile(
    r"\b(?:incl|approx|est|dept|govt|ave|blvd|rd|corp|inc|ltd|vs|opt|pt|fl|sq|avg|tel|cf|rev|trans|ex|temp)\.$",
    re.IGNORECASE,
)  # before a small letter
# Words that begin a sentence, even where no space follows the name before them.
_OPENERS = {
    "a", "an", "and", "are", "as", "at", "but", "can", "could", "did", "do", "does", "for", "from", "had", "has",
    "have", "he", "her", "here", "his", "how", "i", "i'm", "i've", "if", "in", "is", "it", "it's", "its", "let's",
    "my", "no", "not", "now", "of", "oh", "on", "or", "our", "she", "so", "that", "that's", "the", "their", "then",
    "there", "there's", "these", "they", "this", "those", "to", "was", "we", "we're", "well", "were", "what", "when",
    "where", "who", "why", "will", "with", "would", "yes", "yet", "you", "you're", "your",
}  # fmt: skip


def clean(text: str) -> str:
    """The text in composed Unicode (NFC), with control characters and runs of white space as single spaces."""
    text = unicodedata.normalize("NFC", text)
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Co", "Cn") else c for c in text)
    return " ".join(text.split())


def sentence_ends(text: str) -> list[int]:
    """Where sentences and lines end: the position after the white space behind each, ascending; the last is the end."""
    ends: list[int] = []
    start = 0
    for line_end in [*_line_ends(text), len(text)]:
        at = start
        for sentence in segment("en", _MASKED.sub(" ", text[start:line_end])):
            places = [at + m.end() for m in _UNSURE.finditer(sentence)]
            at += len(sentence)
            for place in [*places, at]:
                end = _after_marks(text, start, place) if sentence.strip() else line_end
                if end < line_end and _is_end(text, ends[-1] if ends else 0, end):
                    ends.append(end)
        if text[ends[-1] if ends else 0 : line_end].strip():
            ends.append(line_end)
        start = line_end
    return ends


def _after_marks(text: str, start: int, at: int) -> int:
    """Behind the closing quotes and the white space that follow the sentence which ends before ``at``."""
    mark = at
    while mark > start and (text[mark - 1].isspace() or text[mark - 1] in "'’" or _MASKED.match(text[mark - 1])):
        mark -= 1
    if mark == start or text[mark - 1] not in MARKS:
        return at
    closed = _CLOSING.match(text, mark)
    mark = closed.end() if closed else mark
    while mark < len(text) and text[mark].isspace():
        mark += 1
    return mark


def _is_end(text: str, start: int, end: int) -> bool:
    """Whether a sentence that begins at ``start`` really ends before ``end``."""
    before, after = text[start:end], text[end:]
    sentence = before.rstrip()
    bare = sentence.rstrip("\"'”’)]»*_")
    if not bare.strip() or not after or bare[-1] not in MARKS:
        return False
    if _LIST_NUMBER.fullmatch(bare) or _OPEN_TAG.search(text[max(0, end - 260) : end]):
        return False
    following = after.lstrip("\"'“‘([«*_")
    if following[:1].islower() and _ABBREVIATED.search(bare):
        return False
    if following[:1] in ("=", "+", "×", "÷", "&"):
        return False  # 5! = 120
    if bare != sentence and following[:1].islower():
        return False  # "Stop!" he said
    if following[:1].islower() and re.search(r"[0-9]\s?[A-Za-z]{1,4}\.$", bare):
        return False  # 2 tbsp. of butter
    if _BEFORE_NUMBER.search(bare) and re.match("#?[0-9]", following):
        return False
    if _TIME.search(bare) and (_TIME_GOES_ON.match(following) or _TIME_FIRST.fullmatch(bare)):
        return False  # 9 a.m. EST
    if _CITED.search(bare) and re.match(r"[A-Z][a-z]{0,4}(?:\.|$)|Code\b|[0-9(§]", following):
        return False  # Fed. R. Civ. P. 12
    if re.search(r"[0-9]\s?[A-Za-z]{1,3}\.$", bare) and re.match(r"[0-9.]+\s?[A-Za-z]{1,3}\b", following):
        return False  # 3 lbs. 4 oz.
    if before == sentence == bare:  # no space follows: one.Sentence two
        run = bare.split()[-1]
        word = re.match(r"[\w'’]+(?=[\s,;:!?]|[.](?!\w)|$)", following)
        if word is None or len(run) <= 2 or re.search(r"[./@:\d_]", run[:-1]):
            return False
        return run[:1].islower() or run[-1] in "!?" or word[0].lower() in _OPENERS
    return True


def _line_ends(text: str) -> list[int]:
    """Where a line ends a phrase: not where it was only broken for want of room."""
    ends: list[int] = []
    start = 0
    for m in _LINE_END.finditer(text):
        line, after = text[start : m.start()].strip(), text[m.end() : m.end() + 8]
        start = m.end()
        if not line or _continues(line, after, blank=m[0].count("\n") > 1):
            continue
        ends.append(m.end())
    return [end for end in ends if end < len(text)]


def _continues(line: str, after: str, blank: bool) -> bool:
    """Whether the next line goes on with the sentence."""
    if blank or _BULLET.match(after):
        return False
    if re.search(r"[a-z]-$", line) and after[:1].islower():
        return True  # a word hyphenated at the line's end
    if line[-1] in MARKS:
        return len(line) >= _WRAPPED  # the sentence rules decide
    return line[-1] in ",;" or (len(line) >= _WRAPPED and after[:1].islower())


def grouped(parts: list[str], limit: int) -> list[str]:
    """Sentences in pieces of at most ``limit`` characters, cut at the best boundaries available.

    Sentences stay whole and are grouped while they fit. A sentence that is too long is cut between clauses, then
    between words, and a word that is too long inside. Joined by spaces, the pieces give the cleaned text again, except
    for words that were cut. A tag such as ``[clear throat]`` stays whole.
    """
    held = [_TAG.sub(lambda tag: tag.group().replace(" ", _HELD), clean(part)) for part in parts]
    short = [q for part in held if part for q in _shorten(part, limit)]
    return [part.replace(_HELD, " ") for part in _group(short, limit)]


def cut_ready(buffer: str, limit: int = PIECE_CHARS) -> tuple[str, str]:
    """Split growing text into what can be spoken now and what must wait for more text.

    A sentence is ready when white space follows its end, and a line when it has ended; where an end depends on the
    next word (``U.S.``, a quote, a long line), when that word is there. If no sentence has ended and the buffer is
    longer than ``limit``, everything up to the last clause or word is ready.

    Returns:
        ``(ready, rest)``; ``ready`` is empty while nothing can be spoken yet.
    """
    # An end is certain if it is one whatever comes next: a new word of either kind, or more letters of the last one.
    nexts = ("and so", "The so", "5 so") if buffer[-1:].isspace() else ("", "zq so", *["5 so"] * (buffer[-1:] == "#"))
    certain = set.intersection(*(set(sentence_ends(buffer + word)) for word in nexts)) if buffer.strip() else set()
    ends = [end for end in certain if end < len(buffer) or (end == len(buffer) and buffer[-1].isspace())]
    if not ends and len(buffer) > limit:
        for boundary in (_CLAUSE_END, re.compile(r"\s+")):
            # A cut after an open bracket might be inside a tag.
            ends = [m.end() for m in boundary.finditer(buffer) if not _OPEN_TAG.search(buffer[: m.end()])]
            if ends:
                break
    cut = max(ends, default=0)
    return buffer[:cut], buffer[cut:]


def _shorten(sentence: str, limit: int) -> list[str]:
    """One sentence in parts of at most ``limit`` characters each."""
    if len(sentence) <= limit:
        return [sentence]
    for boundary in (_CLAUSE_END, re.compile(r"\s+")):
        parts = [p for p in boundary.split(sentence) if p]
        if len(parts) > 1:
            return _group([q for p in parts for q in _shorten(p, limit)], limit)
    return _group(re.findall(rf"{_TAG.pattern}|.", sentence.replace(_HELD, " ")), limit, "")


def _group(parts: list[str], limit: int, between: str = " ") -> list[str]:
    """Join neighbouring parts while they fit into ``limit`` characters."""
    grouped: list[str] = []
    for part in parts:
        if grouped and len(grouped[-1]) + len(between) + len(part) <= limit:
            grouped[-1] += between + part
        else:
            grouped.append(part)
    return grouped
