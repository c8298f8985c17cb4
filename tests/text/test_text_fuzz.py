"""Texts mixed from what people and models write, 10,000 with ``--thorough``: no exception, no lost word."""

import random
import re

import pytest

from streamtts import StreamTTSError
from streamtts.text.script import Pause, Piece, script
from streamtts.text.split import cut_ready
from streamtts.text.traced import Traced

WORDS = [
    "apple",
    "river",
    "Monday",
    "quickly",
    "don't",
    "house",
    "table",
    "seventeen",
    "window",
    "green",
    "letter",
    "mother",
    "garden",
    "winter",
    "silver",
    "yellow",
    "history",
    "music",
    "paper",
]
KINDS = [
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    [". ", "! ", "? ", "... ", ", ", "; ", ": ", "\n", "\n\n", "\n- ", "\n1. ", " — ", "…", "\r\n", "\t"],
    ["$1.5 million", "$5k", "€20", "-5", "3.14159", "1990s", "'80s", "10-20", "5–7", "3:1", "2 + 2 = 4", "5 x 4", "½"],
    ["1/2", "20°C", "5 km/h", "11/29/2026", "2026-11-29", "3:05pm", "10:45", "25min", "555-0123", "C++", "C#", "99%"],
    ["CHF 20", "500 CAD", "1,50 €", "1e-9 m", "30s/40s", "Apt. #4", "3 lbs. 4 oz.", "1,2,345", "7" * 40, "€3/kg", "£"],
    [
        "q8h",
        "HEAD~3",
        "a1b2c3d",
        "5.25%-5.50%",
        '65"',
        "8' x 10'",
        "×10²³",
        "Fe³⁺",
        "/mo",
        "vector<int>",
        "(ii)",
        ">90%",
    ],
    ["1-800-FLOWERS", "12/2024", "2h 15m", "πr²", "III. ", "§§", "on 6/15", "5! = ", "P(A|B)", "c.", "#", "→", "24–26"],
    ["$x_1^2$", "\\frac{a}{b}", "\\pi", "10.0.0.1/24", "200g/7oz", "2–3 L/day", "¹⁴C", "I-80 W", "Mon/Wed", "foo.bar"],
    ["**", "*", "_", "`", "#", "## ", "> ", "| ", "|---|", "[", "]", "(", ")", "](", '"', "'", "“", "”", "~~", "```"],
    ["<b>", "</b>", "<br/>", "<", ">", "&amp;", "&", '<break time="1s"/>', "<speak>", "&#65;", "&bogus;"],
    ["[pause]", "[pause 0.5s]", "[laugh]", "[Pause]", "[pause 99s]", "[foo]", "[clear throat]", "[pause", "[pause :]"],
    ["https://ex.com/a?b=1", "a.b@c.org", "README.md", "Node.js", "SQL", "AWS", "U.S.", "Dr.", "e.g.", "a.m.", "J. R."],
    [
        "Søren",
        "Łukasz",
        "Straße",
        "🎉",
        "\u00ad",
        "\u200b",
        "你好",
        "é",
        "\x00",
        "\ue000",
        "\ue100",
        "\ud800",
        "٣",
        "²",
    ],
]


def mixed(rng: random.Random) -> str:
    """A text from all kinds."""
    return "".join(
        rng.choice(rng.choice(KINDS)) + " " * (rng.random() < 0.7) for _ in range(rng.randrange(1, 25))
    )  # fmt: skip


def words_in(text: str) -> list[str]:
    """The plain words that stand alone in a text."""
    found = re.findall(r"(?<![\w'.@/&#?=`~-])(?:" + "|".join(WORDS) + r")(?![\w'.@/&;#-])", text)
    return [word.lower().replace("'", "") for word in found]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_mixed_texts_lose_no_word(model, seed, some):
    rng = random.Random(seed)
    for _ in some(range(1000)):
        text = mixed(rng)
        try:
            steps = script(model.tts.tokenizer, text)
        except StreamTTSError as fault:
            assert fault.code == "text_empty" and not words_in(text), repr(text)
            continue
        assert all(0 < step.ms <= 10_000 for step in steps if isinstance(step, Pause)), repr(text)
        pieces = [step for step in steps if isinstance(step, Piece)]
        assert all(len(piece.text) <= 220 and piece.ids for piece in pieces), repr(text)
        assert all(len(piece.spans) == len(piece.text.replace(" ", "")) for piece in pieces), repr(text)
        assert all(0 <= a <= b <= len(text) for piece in pieces for a, b in piece.spans), repr(text)
        said = re.sub(r"[^a-z]", "", " ".join(piece.text for piece in pieces).lower())
        place = 0
        for word in words_in(text):  # in order
            place = said.find(word, place)
            assert place >= 0, f"{word} of {text!r} is not in {[piece.text for piece in pieces]}"
            place += len(word)


def test_a_rule_that_is_passed_over_would_have_changed_nothing(model, monkeypatch):
    rng = random.Random(1)
    texts = ["word " + mixed(rng) for _ in range(40)] + ["word " + part for kind in KINDS for part in kind]
    steps = [script(model.tts.tokenizer, text) for text in texts]

    def every_rule(self, rules, apart=False):
        for pattern, new, *_ in rules:
            self = self.sub(pattern, new, apart)
        return self

    monkeypatch.setattr(Traced, "rewrite", every_rule)
    assert [script(model.tts.tokenizer, text) for text in texts] == steps


def test_mixed_texts_that_grow_lose_nothing():
    rng = random.Random(0)
    for _ in range(300):
        text, buffer, ready_texts = mixed(rng), "", []
        for at in range(0, len(text), 9):
            ready, buffer = cut_ready(buffer + text[at : at + 9], limit=60)
            ready_texts.append(ready)
        assert "".join(ready_texts) + buffer == text
