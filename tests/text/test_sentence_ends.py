"""Where sentences and lines end, in whole texts and in texts that are still growing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamtts.text.split import cut_ready, sentence_ends

TEXTS = [  # each a list of its sentences
    ["Dr. Smith and Mrs. Jones met at 9 a.m. sharp in the U.S. on Monday. ", "They left."],
    ["J. R. R. Tolkien wrote it. ", "It is long."],
    ["We met at 5 p.m. ", "Then we ate."],
    ["He lives in the U.S. ", "He likes it."],
    ["He is in the U.S. Army now. ", "Good."],
    ["1. Open the box. ", "2. Close the box."],
    ["1. Open the box.\n", "2. Close the box."],
    ["It costs 3.5 dollars. ", "Version 2.0.1 is out. ", "See www.example.com/a.b for more."],
    ["Wait... what? ", "No."],
    ["Wait... ", "What now?"],
    ["So… then we went."],
    ['She said "Stop!" and left. ', "He stayed."],
    ['"Really?" he asked. ', '"Yes."'],
    ['He said "It is late. ', "We must go. ", 'Come on." ', "They went."],
    ["“I know.” ", "She smiled."],
    ["(He left.) ", "Then she did."],
    ["This is one.", "Sentence two. ", "Three."],
    ["I met Bob.", "He left.", "What?", "No way."],
    ["Call Math.Floor or System.Text.Json now. ", "Use Node.js or README.md. ", "Both work."],
    ["Fruit, e.g. apples, is good. ", "So is bread, i.e. rye, etc. ", "Then cake."],
    ["See Fig. 3, No. 5, p. 7 and vol. 2. ", "It is approx. 5 of them."],
    ["The baby weighed 7 lbs. 8 oz. at birth. ", "She lives at 5 Main Street, Apt. #4 now. ", "Open to 9 p.m. EST. "],
    ["It opens at 5 p.m. ", "Bring a coat."],
    ["Come at 5 P.M. ", "Bring your coat and a friend."],
    ["At 5 p.m. Bob left. ", "The 5 p.m. Amtrak train came."],
    ["Doors open at 7 p.m. Eastern Time. ", "It is open 9 a.m. to 5 p.m. Monday to Friday."],
    ["We sell apples, etc. ", "Bring a bag."],
    ["Under Fed. R. Civ. P. 12, he won. ", "See Cal. Civ. Code § 5 and 5 F. Supp. 2d 9."],
    ["Really?! ", "Yes! ", "OK."],
    ["Well. ", "[pause 0.5s] And so."],
    ["A heading\n", "- One thing\n", "- Another thing\n", "Text, that,\ngoes on. ", "End."],
    ["A poem's line\n", "And the next line,\nwhich goes on\n\n", "The end"],
    ["This is the first line of a letter that was wrapped\nat some column. ", "Bye."],
]


def sentences(text):
    """The text cut where sentences and lines end."""
    ends = sentence_ends(text)
    return [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


@pytest.mark.parametrize("expected", TEXTS)
def test_a_text_is_cut_where_its_sentences_end(expected):
    assert sentences("".join(expected)) == expected


@pytest.mark.parametrize("expected", TEXTS)
@pytest.mark.parametrize("delta", [1, 2, 3, 5, 8, 13])
def test_growing_text_is_cut_where_the_whole_text_is(expected, delta):
    text = "".join(expected) + " "
    buffer, cut, at = "", [], 0
    for start in range(0, len(text), delta):
        ready, buffer = cut_ready(buffer + text[start : start + delta], limit=1000)
        if ready:
            at += len(ready)
            cut.append(at)
    ends = {len(text[:end].rstrip()) for end in sentence_ends(text)}
    assert {len(text[:end].rstrip()) for end in cut} <= ends
    certain = [end for end in cut if text[end:].strip()]
    assert len(certain) >= len(expected) - 2  # nothing but the last one waits for the end


@pytest.mark.parametrize(
    ("buffer", "ready"),
    [
        ("Hello there. ", "Hello there. "),
        ("Hello there! ", "Hello there! "),
        ("Ask Yahoo! ", ""),
        ('"Hello there!" ', ""),  # he said
        ('"Hello there!" T', '"Hello there!" '),
        ("It is approx. ", ""),
        ("In the U.S. ", ""),
        ("In the U.S. A", ""),
        ("In the U.S. The ", "In the U.S. "),
        ("Dr. ", ""),
        ("1. ", ""),
        ("A heading\n", "A heading\n"),
        ("It costs 3.", ""),
        ("one.", ""),
        ("one.Sen", "one."),
    ],
)
def test_what_is_certain_is_ready_at_once(buffer, ready):
    assert cut_ready(buffer)[0] == ready


@given(st.text(max_size=300))
def test_sentences_joined_are_the_text(text):
    assert "".join(sentences(text)) == text * bool(text.strip())
