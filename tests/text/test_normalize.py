"""What is written is said as a person reads it aloud: each kind of text with the words expected."""

import pytest

from streamtts.text.script import Pause, Piece, script
from streamtts.text.traced import Traced

NUMBERS = {
    "It costs $1.5 million.": "It costs one point five million dollars.",
    "$1": "one dollar",
    "$5k": "five thousand dollars",
    "$3.50 and $0.99": "three dollars and fifty cents and ninety nine cents",
    "-$5, $10-20 or $1,000.00": "minus five dollars, ten to twenty dollars or one thousand dollars",
    "€20, £20, ¥500 and ₹7": "twenty euros, twenty pounds, five hundred yen and seven rupees",
    "20 € or 50 USD": "twenty euros or fifty dollars",
    "It is -5 outside, or −3.5.": "It is minus five outside, or minus three point five.",
    "3.14159": "three point one four one five nine",
    "1,234,567 and 007": "one million two hundred thirty four thousand five hundred sixty seven and zero zero seven",
    "the 1990s, the '80s, 60's and 2000s": "the nineteen nineties, the eighties, sixties and two thousands",
    "class of '99 and '05": "class of ninety nine and oh five",
    "in 1905, 1984, 2005, 2026 and 1900": "in nineteen oh five, nineteen eighty four, two thousand five, "
    "twenty twenty six and nineteen hundred",
    "pages 10-20": "pages ten to twenty",
    "5–7 days": "five to seven days",
    "10-20 km, 5-10%": "ten to twenty kilometers, five to ten percent",
    "a 3:1 lead at 16:9": "a three to one lead at sixteen to nine",
    "2 + 2 = 4": "two plus two equals four",
    "5 x 4 = 20": "five times four equals twenty",
    "10 - 5 = 5": "ten minus five equals five",
    "8 ÷ 2 and 6 / 3": "eight divided by two and six divided by three",
    "3x faster, 1920x1080, 2^8, 10+ years": "three times faster, nineteen twenty by one thousand eighty, "
    "two to the power of eight, ten plus years",
    "½ cup, 2½ cups": "one half cup, two and a half cups",
    "1/2, 2/3, 3/4 and 2 1/2": "one half, two thirds, three quarters and two and a half",
    "24/7 on 9/11, 50/50": "twenty four seven on nine eleven, fifty fifty",
    "1⁄4": "one quarter",
    "20°C is 68°F; turn 90°.": "twenty degrees Celsius is sixty eight degrees Fahrenheit; turn ninety degrees.",
    "5 km/h": "five kilometers per hour",
    "5km, 1 kg, 25min, 10 MB, 60mph": "five kilometers, one kilogram, twenty five minutes, ten megabytes, "
    "sixty miles per hour",
    "6'2\" tall, 30 m²": "six foot two tall, thirty square meters",
    "5 M, 5G and 4K": "five M, five G and four K",
    "11/29/2026": "November twenty ninth, twenty twenty six",
    "29/11/2026": "November twenty ninth, twenty twenty six",
    "29.11.2026": "November twenty ninth, twenty twenty six",
    "2026-11-29": "November twenty ninth, twenty twenty six",
    "July 4, Nov. 29, 2026": "July fourth, November twenty ninth, twenty twenty six",
    "on 12/03": "on December third",
    "3:05pm": "three oh five P M",
    "10:45, 10:00, 9 a.m. and 7 PM": "ten forty five, ten o'clock, nine ay M and seven P M",
    "1:02:03": "one oh two and three seconds",
    "25%": "twenty five percent",
    "Call 555-0123.": "Call five five five, zero one two three.",
    "(555) 123-4567": "five five five, one two three, four five six seven",
    "1st, 2nd, 3rd, 22nd, 100th": "first, second, third, twenty second, one hundredth",
    "#1, No. 5, ~5, .5": "number one, number five, about five, point five",
    "v2.0, 2.0.1": "version two point zero, two point zero point one",
    "COVID-19, MP3, GPT-4": "COVID nineteen, M P three, G P T four",
    "the mid-1990s, 10am-5pm, x^2": "the mid-nineteen nineties, ten ay M to five P M, x to the power of two",
    "5 µm, 10 Ω, 5¢": "five micrometers, ten ohms, five cents",
    "2 tbsp. of it (≈ 15%), a² + b²": "two tablespoons of it (about fifteen percent), a squared plus b squared",
    "5 m³ or 3²": "five cubic meters or three squared",
    "1" * 20: " ".join(["one"] * 20),
}
WRITTEN = {
    "C++, C# and R&D": "C plus plus, C sharp and R and D",
    "https://www.example.com/path?x=1": "example dot com slash path question mark X equals one",
    "See example.org/docs.": "See example dot org slash docs.",
    "Mail bob.smith@example.com!": "Mail bob dot smith at example dot com!",
    "README.md, Node.js and .NET": "README dot M D, Node dot J S and dot NET",
    "Open main.py.": "Open main dot P Y.",
    "Dr. Smith and Mrs. Jones": "Doctor Smith and Missus Jones",
    "Mr. & Mrs. Smith": "Mister and Missus Smith",
    "$5/month on Jan 5": "five dollars per month on January fifth",
    "a != b && c": "a is not equal to b and c",
    "e.g. apples, i.e. fruit, etc.": "for example apples, that is fruit, et cetera",
    "in the U.S. on Monday": "in the U S on Monday",
    "J. R. R. Tolkien": "J R R Tolkien",
    "St. Louis, Main St.": "Saint Louis, Main Street",
    "see fig. 3, p. 5 and vol. 2": "see figure three, page five and volume two",
    "World War II": "World War two",
    "Mon. 5": "Monday, five",
    "SQL and AWS": "S Q L and ay W S",
    "the CTO said": "the C T O said",
    "GPUs and a CEO's LED": "G P U's and a C E O's L E D",
    "ACME uses HDMI and IEEE": "ACME uses H D M I and I E E E",
    "NASA and the US": "NASA and the U S",
    "I said NO! It is VERY hot.": "I said NO! It is VERY hot.",
    "THE ROAD LED US HOME.": "THE ROAD LED US HOME.",
    "and/or, he/she, w/o you": "and or, he she, without you",
    "you & me @ home": "you and me at home",
    "a < b ≥ c": "a is less than b is at least c",
    "#hashtag": "hashtag hashtag",
    '"Stop!" he said. “Why?”': "Stop! he said. Why?",
    "'Fine,' she said, don't.": "Fine, she said, don't.",
    "rock 'n' roll, ’tis": "rock 'n roll, 'tis",
    "Hello 😀 there ❤️ 👨‍👩‍👧.": "Hello there.",
    "Acme™ → new": "Acme, new",
}
MARKUP = {
    "**bold**, *it*, __b__, _i_, ~~x~~ and `code`": "bold, it, b, i, x and code",
    "[link](http://x.y/z_(a)) and ![picture](a.png)": "link and picture",
    "# Heading": "Heading",
    "𝐁𝐨𝐥𝐝 ｆｕｌｌ ﬁne": "Bold full fine",
    "**not closed": "not closed",
    "red →, blue": "red, blue",
    "> quoted": "quoted",
    "snake_case": "snake case",
    "```python\nprint\n```": "print",
    "a claim[12] here": "a claim here",
    "<p>One <b>two</b></p><!-- no -->": "One two",
    "Tom &amp; Ann &lt; you &#39;n me": "Tom and Ann is less than you 'n me",
    'Hi <name>, <x y="z">you</x>': "Hi name, you",
    "<!DOCTYPE html>Hi": "Hi",
    "<https://example.com>": "example dot com",
    "hyphen-\nated": "hyphenated",
    "so\u00adft and zero\u200bwidth": "soft and zerowidth",
    "\x1b[31mred\x1b[0m": "red",
    "| a | b |\n|---|---|\n| 1 | 2 |": "a, b. one, two",
    "- [x] done": "done",
    "1. Open the box.\n2. Close it.": "one, Open the box. two, Close it.",
    "a) first": "a, first",
    "one\r\ntwo": "one. two",
    "Title\n=====": "Title",
}
LETTERS = {"Søren": "Soren", "Łukasz": "Lukasz", "Straße": "Strasse", "café": "café", "Ελλάδα": "Ellada"}


@pytest.mark.parametrize(("text", "words"), [*NUMBERS.items(), *WRITTEN.items(), *MARKUP.items(), *LETTERS.items()])
def test_it_is_said_as_a_person_reads_it(model, text, words):
    steps = script(model.tts.tokenizer, text, 1000)
    assert " ".join(step.text for step in steps if isinstance(step, Piece)) == words


@pytest.mark.parametrize("text", ["It costs $5.", "Dr. Lee", "**bold**", "10:45", '"Hi," he said.', "Søren"])
def test_it_can_be_switched_off(model, text):
    assert script(model.tts.tokenizer, text, normalize=False) == [Piece(text)]


def test_every_rule_is_needed_by_an_example(model, monkeypatch):
    """A rule that no example above needs has no test."""
    used = set()
    rewrite = Traced.sub

    def noting(self, pattern, new):
        changed = rewrite(self, pattern, new)
        if changed is not self:
            used.add(pattern.pattern)
        return changed

    monkeypatch.setattr(Traced, "sub", noting)
    for text in [*NUMBERS, *WRITTEN, *MARKUP, *LETTERS, "<break time='1s'/> Go. * * * \n---\nOn."]:
        script(model.tts.tokenizer, text)
    from streamtts.text import markup, normalize, numbers, written

    rules = [
        *markup.RULES,
        *normalize.LIST_NUMBER,
        *numbers.RULES,
        *written.ADDRESSES,
        *written.ABBREVIATIONS,
        *written.SIGNS,
    ]
    assert [pattern.pattern for pattern, _ in rules if pattern.pattern not in used] == []


def test_lines_end_phrases_and_blank_lines_paragraphs(model):
    text = "Shopping list\n- Milk\n- Eggs\n\nAll of it is needed\nby noon"
    assert script(model.tts.tokenizer, text) == [
        Piece("Shopping list. Milk. Eggs."),
        Pause(600),
        Piece("All of it is needed. by noon"),
    ]


def test_a_line_that_was_broken_for_want_of_room_goes_on(model):
    text = "This is the first line of a letter that was wrapped\nat some column, long ago."
    assert script(model.tts.tokenizer, text) == [Piece(text.replace("\n", " "))]


def test_every_character_knows_where_it_came_from(model):
    text = "Dr. Lee paid $5 for\u00ad it."
    (piece,) = script(model.tts.tokenizer, text)
    assert piece.text == "Doctor Lee paid five dollars for it."
    letters = piece.text.replace(" ", "")
    assert len(piece.spans) == len(letters)
    for word, written in (("Doctor", "Dr."), ("five", "$5"), ("dollars", "$5"), ("Lee", "Lee"), ("it", "it")):
        spans = piece.spans[letters.index(word) : letters.index(word) + len(word)]
        assert text[spans[0][0] : spans[-1][1]] == written


def test_tidy_text_has_the_tokens_it_had(model):
    from streamtts.mini.texts import held_out_sentences
    from streamtts.text.script import text_ids

    for sentence in held_out_sentences():
        assert [piece.ids for piece in script(model.tts.tokenizer, sentence)] == [
            text_ids(model.tts.tokenizer, sentence)
        ]
