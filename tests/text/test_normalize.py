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
    "1/4 tsp and ½ tsp of salt": "one quarter teaspoon and one half teaspoon of salt",
    "at 192.168.1.254:8080 or 10.0.0.1": "at one nine two dot one six eight dot one dot two five four port eight zero "
    "eight zero or one zero dot zero dot zero dot one",
    "00:1A:2B:3C:4D:5E": "zero zero one ay two B three C four D five E",
    "1e-9 and 3E5": "one times ten to the power of minus nine and three times ten to the power of five",
    "0x1F": "zero X one F",
    "VIN 1HGCM82633A004352": "V I N one H G C M eight two six three three ay zero zero four three five two",
    "2026-11-30T14:05:00Z": "November thirtieth, twenty twenty six, fourteen oh five U T C",
    "v2.0.1-beta.3 and 1.2rc1": "version two point zero point one beta three and one point two R C one",
    "ISBN 978-3-16-148410-0": "I S B N nine seven eight, three, one six, one four eight four one zero, zero",
    "+44-20-7946-0958 or (020) 7946 0000": "plus four four, two zero, seven nine four six, zero nine five eight or "
    "zero two zero, seven nine four six, zero zero zero zero",
    "$100k–$200k": "one hundred thousand dollars to two hundred thousand dollars",
    "US$20, A$30 and USD 5": "twenty U S dollars, thirty Australian dollars and five dollars",
    "5ft 11in and 1 in. wide": "five feet eleven inches and one inch wide",
    "10K followers, 3M views in 4K": "ten thousand followers, three million views in four K",
    "50'12\" or 25:30": "fifty minutes twelve seconds or twenty five thirty",
    "at 00:00": "at midnight",
    "30 mpg": "thirty miles per gallon",
    "a Boeing 747-400": "a Boeing seven forty seven, four hundred",
    "x² − 4x + 4 = 0": "x squared minus four x plus four equals zero",
    "Nos. 1-5": "numbers one to five",
    "H.264": "H two hundred sixty four",
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
    "12/03 to 12/09, the 12/03 show": "December third to December ninth, the December third show",
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
    "the mid-1990s, 10am-5pm, x^2": "the mid-nineteen nineties, ten ay M to five P M, x squared",
    "5 µm, 10 Ω, 5¢": "five micrometers, ten ohms, five cents",
    "2 tbsp. of it (≈ 15%), a² + b²": "two tablespoons of it (about fifteen percent), a squared plus b squared",
    "5 m³ or 3²": "five cubic meters or three squared",
    "1" * 20: " ".join(["one"] * 20),
    "1e-9 m, 2.5E3 kg and 1e6 Hz": "one times ten to the power of minus nine meters, two point five times ten to the "
    "power of three kilograms and one times ten to the power of six hertz",
    "10⁻³, 9.8 m/s^2 and E = mc²": "ten to the power of minus three, nine point eight meters per second squared and "
    "E equals mc squared",
    "their 30s/40s, the 1980s/1990s": "their thirties or forties, the nineteen eighties or nineteen nineties",
    "wait for 30s, a 20s timeout": "wait for thirty seconds, a twenty seconds timeout",
    "3 lbs. 4 oz. or 1-2 lbs., 5 ft. 11 in.": "three pounds four ounces or one to two pounds, five feet eleven inches",
    "a 20-ft wall, 70kg/m² and $0.05/kWh": "a twenty foot wall, seventy kilograms per square meter and five cents per "
    "kilowatt hour",
    "CHF 20, 20 CHF, -CHF 5 or CHF -1.50": "twenty Swiss francs, twenty Swiss francs, minus five Swiss francs or minus "
    "one Swiss franc and fifty centimes",
    "SEK 1, 500 CAD, AUD 20.50, 3 million NOK": "one Swedish krona, five hundred Canadian dollars, twenty Australian "
    "dollars and fifty cents, three million Norwegian kroner",
    "10–20 PLN, CHF 10-20k, USD5k, $20 CAD": "ten to twenty Polish zlotys, ten to twenty thousand Swiss francs, "
    "five thousand dollars, twenty Canadian dollars",
    "100 kr, 30 zł, ₽100, R$10, US$1.5bn": "one hundred kroner, thirty zlotys, one hundred rubles, ten "
    "Brazilian reals, one point five billion U S dollars",
    "1,50 € or €1.234,56": "one euro and fifty cents or one thousand two hundred thirty four euros and fifty six cents",
    "TRY 5, COP 28, but TRY 1,500 and EUR/USD 1.08": "TRY five, C O P twenty eight, but one thousand five hundred "
    "Turkish Lira and E U R U S D one point zero eight",
    "1.000.000 and 1 000 000": "one million and one million",
    "100,200,300,400,500,600": "one hundred,two hundred,three hundred,four hundred,five hundred,six hundred",
    "10:30-11:45am, 6–8pm, 6 a.m.–10 p.m. EST": "ten thirty to eleven forty five ay M, six to eight P M, six ay M to "
    "ten P M E S T",
    "Psalm 23:1-6, 1:2.5, ISO 9001:2015": "Psalm twenty three one to six, one to two point five, I S O nine thousand "
    "one, twenty fifteen",
    "Sun, 1 Dec 2024 14:00:00 GMT": "Sunday, the first of December twenty twenty four fourteen hundred G M T",
    "the 4 July 1776, Q4'23, 20/20": "the fourth of July seventeen seventy six, Q four twenty three, twenty twenty",
    "call 911 in NY, NY 10012": "call nine one one in N Y, N Y one zero zero one two",
    "CO₂": "C O two",
    "git rebase HEAD~3 and q8h": "git rebase HEAD tilde three and every eight hours",
    "a1b2c3d, 7d9f0c1e-0a1b-4c2d-8e3f-a1b2c3d4e5f6": "ay one B two C three D, seven D nine F zero C one E zero ay one "
    "B four C two D eight E three F ay one B two C three D four E five F six",
    "6.022×10²³, Fe³⁺ and Cl⁻": "six point zero two two times ten to the power of twenty three, Fe three plus and "
    "Cl minus",
    "O(n^2), x²/2, (a+b)^2 and ½bh": "O(n squared), x squared over two, (a plus b) squared and one half bh",
    "2x - 5 = 11, 3 - -2, 5! = 120": "two x minus five equals eleven, three minus minus two, five factorial equals "
    "one hundred twenty",
    "Due Friday, 12/4, or on 6/15, not by 3/4.": "Due Friday, December fourth, or on June fifteenth, not by three "
    "quarters.",
    "11-29-2026, 12/2024, the 2024/25 season": "November twenty ninth, twenty twenty six, December twenty twenty four, "
    "the twenty twenty four twenty five season",
    "Dec. 24–26, Dec. 25 - Jan. 1, Jan 2020–Mar 2021": "December twenty fourth to twenty sixth, December twenty fifth "
    "to January first, January twenty twenty to March twenty twenty one",
    "1st-3rd, Q1–Q3, 300 BC and 1066 AD": "first to third, Q one to Q three, three hundred B C and ten sixty six ay D",
    "07:00Z, 1:23.45, 2h 15m, 5m 30s": "seven o'clock U T C, one twenty three point four five, two hours fifteen "
    "minutes, five minutes thirty seconds",
    "1-800-555-0199, 1-800-FLOWERS, 212.555.1234": "one, eight zero zero, five five five, zero one nine nine, one, "
    "eight hundred, FLOWERS, two one two, five five five, one two three four",
    "10-4-2, 112-108 and 90210-1234": "ten, four, two, one hundred twelve to one hundred eight and nine zero two one "
    "zero, one two three four",
    "5.25%-5.50%, 15%–20%, 1-2 Tbsp., 2-3x": "five point two five percent to five point five zero percent, fifteen "
    "percent to twenty percent, one to two tablespoons, two to three times",
    "$1,200/mo, $15/hr, 250 mg/5 mL, 3x/day, 5 req/s": "one thousand two hundred dollars per month, fifteen dollars "
    "per hour, two hundred fifty milligrams per five milliliters, three times per day, five req per second",
    "120/80 mmHg, 30.12 inHg, 78 cm², 1 Gb/s, 25bps": "one hundred twenty over eighty millimeters of mercury, thirty "
    "point one two inches of mercury, seventy eight square centimeters, one gigabit per second, twenty five basis "
    "points",
    "1080p, 1-3\" of snow, a 65\" TV, 8' x 10', 5' tall": "ten eighty P, one to three inches of snow, a sixty five "
    "inch T V, eight feet by ten feet, five feet tall",
    "30 x 40 cm, 40° 42′ 46″ N": "thirty by forty centimeters, forty degrees forty two minutes forty six seconds North",
    "10.0.0.1/24, No. 117-58, Ca(OH)₂, ¹⁴C, t½": "one zero dot zero dot zero dot one slash twenty four, number one "
    "hundred seventeen, fifty eight, Ca(OH) two, fourteen C, t one half",
    "200g/7oz, 13.5 g/dL, 2–3 L/day, FY'24, +/- 3%": "two hundred grams or seven ounces, thirteen point five grams per "
    "deciliter, two to three liters per day, F Y twenty four, plus or minus three percent",
    "f(x) = 2x, p is < .05": "f(x) equals two x, p is less than point zero five",
    '½"–¾" thick': "one half inch–three quarters inch thick",
    "12/24–1/2, 11/28 - 12/1 or from 6/1 to 6/15": "December twenty fourth to January second, November twenty eighth "
    "to December first or from June first to June fifteenth",
    "1/2–3/4 cup, 3/4-7/8 inch": "one half to three quarters cup, three quarters to seven eighths inch",
    "404 / 500 errors, HTTP 400/401/403": "four hundred four or five hundred errors, H T T P four hundred or four "
    "hundred one or four hundred three",
    "rated 4.5 / 5, 3/5 stars, score: 404 / 500": "rated four point five out of five, three out of five stars, score: "
    "four hundred four out of five hundred",
    "Let n ≥ 2, let x = 5, let y > 0 be small": "Let n be at least two, let x equal five, let y greater than zero be "
    "small",
    "Let me know if x = 5, for more than 5 < 6": "Let me know if x equals five, for more than five is less than six",
    "scored 2/3 of it, 1/2 to 3/4": "scored two thirds of it, one half to three quarters",
    "for all n ≥ 2, with p < .05, where x > 0": "for all n at least two, with p less than point zero five, where x is "
    "greater than zero",
    "$.50, €1,5 and .300": "fifty cents, one point five euros and point three zero zero",
}
WRITTEN = {
    "on Jan. 5th": "on January fifth",
    "Mon.-Fri., 9 to 5, and Sat–Sun": "Monday to Friday, nine to five, and Saturday to Sunday",
    "$2 ea. (incl. 8% tax)": "two dollars each (including eight percent tax)",
    "Apt. 4, ext. 12": "apartment four, extension twelve",
    "5 Main St., Apt. #4 or Ste 200": "five Main Street, apartment number four or suite two hundred",
    "Order #A-1042": "Order number A one thousand forty two",
    "123 W. 4th St., Rte. 66, Rodeo Dr.": "one hundred twenty three West fourth Street, route sixty six, Rodeo Drive",
    "Henry VIII in WWII, George V": "Henry the eighth in World War two, George the fifth",
    "Tue 12/03, est. 1990": "Tuesday, December third, established nineteen ninety",
    "in St. Louis, Ft. Worth, near Mt. Everest": "in Saint Louis, Fort Worth, near Mount Everest",
    "AD 79": "ay D seventy nine",
    "That's funny ;-) :D <3": "That's funny",
    "i.e. >95 or <5": "that is more than ninety five or is less than five",
    "tel:+44-20-7946": "telephone plus four four, two zero, seven nine four six",
    "π > 3 and Δ": "pi is greater than three and delta",
    "TL;DR: it works, FYI, YMMV.": "T L D R: it works, F Y I, Y M M V.",
    "¶ 4; † see": "paragraph four; see",
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
    ">90% of it, ≥18 years": "more than ninety percent of it, at least eighteen years",
    "πr² and α-helix": "pi r squared and alpha-helix",
    "∑ of it, P(A|B), 10→20": "sum of it, P(A given B), ten to twenty",
    "Smith v. Jones, §§ 4-6, Art. III, Eq. (3), (ii)": "Smith versus Jones, sections four to six, article three, "
    "equation (three), (two)",
    "34th Fl., 20th c., c. 1450, ½ c. milk": "thirty fourth floor, twentieth century, circa fourteen fifty, one half "
    "cups milk",
    "a.k.a. Bob, b/c 5% YoY": "also known as Bob, because five percent year over year",
    "pH of NaCl": "P H of N ay C L",
    "Press * or #. A B- grade": "Press star or pound. A B minus grade",
    "http://localhost:8080/api": "localhost colon eight thousand eighty slash ay P I",
    "TCP/IP": "T C P I P",
    "It costs $20 (incl. tax).": "It costs twenty dollars (including tax).",
    "e^x and ℝ": "e to the power of x and R",
    "N 5th St & 10th Ave, I-80 W, Boston, MA 02115": "North fifth Street and tenth Avenue, I eighty West, Boston, M ay "
    "zero two one one five",
    "M–F, Mon/Wed/Fri, every Tues. & Thurs.": "Monday to Friday, Monday Wednesday Friday, every Tuesday and Thursday",
    "Use foo.bar and #FF5733.": "Use foo dot bar and hash F F five seven three three.",
    "Nice. <3": "Nice.",
    "III. Methods": "three, Methods",
    "Under Fed. R. Civ. P. 12, not Fed. R. Evid. 403": "Under Federal Rule of Civil Procedure twelve, not Federal Rule "
    "of Evidence four hundred three",
    "123 F.3d 456, 550 F. Supp. 2d 9": "one hundred twenty three F third four hundred fifty six, five hundred fifty F "
    "Supp second nine",
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
    "$E = mc^2$ costs $5": "E equals mc squared costs five dollars",
    r"\\frac{a}{2}, \\sqrt{x}, \\(2 \\times \\pi\\), \\text{if}".replace(
        "\\\\", "\\"
    ): "a over two, square root of x, two times pi, if",
    "|x| = 5, |x - 3| < 5, the |-y|": "the absolute value of x equals five, the absolute value of x minus three is "
    "less than five, the absolute value of minus y",
    "|a|": "the absolute value of a",
    "so $|a| > 1$ costs $5|$6": "so the absolute value of a is greater than one costs five dollars six dollars",
    r"$\left| a \right|$ and ||v||²": "the absolute value of a and the norm of v squared",
    "a|b|c, |yes|, P(|X| > 2)": "a b c, yes, P(the absolute value of X is greater than two)",
    "vector<int> and a[0]": "vector int and a zero",
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

    def noting(self, pattern, new, *how):
        changed = rewrite(self, pattern, new, *how)
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
    assert [pattern.pattern for pattern, *_ in rules if pattern.pattern not in used] == []


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
