"""What is written for the eye -> plain text: HTML and SSML, Markdown, invisible characters, words cut at line ends."""

from __future__ import annotations

import html
import re
import unicodedata
from re import Match

from .traced import Traced, rules

_BLOCK = "p|div|li|ul|ol|tr|table|h[1-6]|section|article|blockquote|speak|paragraph|sentence|s"
_GIVEN = r"(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"<>]*\"|'[^'<>]*'|[^\s\"'<>=]+)(?:\s+[a-z]+(?![\w:.-]*\s*=))?)+"  # attributes
_TAGS = (
    "a|abbr|b|big|body|button|center|cite|code|del|details|dd|dl|dt|em|emphasis|figure|font|footer|form|head|header|"
    "html|i|img|ins|kbd|label|lang|link|main|mark|meta|nav|option|phoneme|pre|prosody|q|say-as|select|small|span|"
    "strike|strong|sub|summary|sup|svg|tbody|td|tfoot|th|thead|time|title|u|var|voice|w|wbr|amazon:[a-z-]+|mstts:[a-z-]+"
)  # HTML's and SSML's; a word in angle brackets that is none of them is said
GREEK = ["alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "pi", "rho", "sigma", "phi", "omega"]
LATEX = {name: f" {name} " for name in GREEK}
LATEX |= {"times": "×", "cdot": "×", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "pm": "±",
          "approx": "≈", "div": "÷", "infty": "∞", "sum": "∑", "int": "∫", "to": "→", "rightarrow": "→", "left": "",
          "right": "", "quad": " ", "circ": "°"}  # fmt: skip
_STRENGTHS = {"none": 0, "x-weak": 100, "weak": 200, "medium": 400, "strong": 700, "x-strong": 1000}


def _break(m: Match[str]) -> str:
    time = re.search(r"time\s*=\s*[\"']?\s*([0-9.]+\s*m?s)", m[0], re.IGNORECASE)
    strength = re.search(r"strength\s*=\s*[\"']?([a-z-]+)", m[0], re.IGNORECASE)
    if time:
        return f" [pause {time[1]}] "
    return f" [pause {_STRENGTHS.get(strength[1].lower(), 400) if strength else 400}ms] "


def _entity(m: Match[str]) -> str | None:
    written = html.unescape(m[0])
    return None if written == m[0] else written


def _row(m: Match[str]) -> str:
    return ", ".join(cell for part in m[0].strip().strip("|").split("|") if (cell := part.strip()))


def _bars(m: Match[str]) -> str:
    """|x - 3|, and with two bars a norm."""
    what = "norm" if m[2] == "||" else "absolute value"
    return f"{m[1] or 'the '}{what} of {re.sub(' *[-−] *', ' minus ', m[3]).strip()}"


LATEX_RULES = rules(
    (re.compile(r"\$(?=[^\s\d$])([^$\n]{0,200}?[\\^_=][^$\n]{0,200}?)\$(?!\w)"), r"\1", "$"),
    (re.compile(r"\$(\|[^|$\n]{1,40}\|[^|$\n]{0,40})\$(?!\w)"), r"\1", "$"),
    (re.compile(r"\\left\|\s*([^|\n]{1,80}?)\s*\\right\|"), r"|\1|", "\\"),
    (re.compile(r"\\frac\{([^{}]{1,80})\}\{([^{}]{1,80})\}"), r"\1 over \2", "\\"),
    (re.compile(r"\\sqrt\{([^{}]{1,80})\}"), r"square root of \1", "\\"),
    (re.compile(r"\\(?:text|mathrm|mathbf|mathbb)\{([^{}]{1,80})\}"), r"\1", "\\"),
    (re.compile(r"\\([a-zA-Z]+)(?![\\\w])"), lambda m: LATEX.get(m[1]), "\\"),
    (re.compile(r"\\[()\[\],;!]"), "", "\\"),
)
RULES = rules(
    (re.compile("[\u00b5\u2100-\u2115\u2119-\u211f\u2124-\u214f\u2160-\u2188\u2080-\u2089\u2460-\u24ff\ufb00-\ufb06\uff01-\uff5e\U0001d400-\U0001d7ff]"),
     lambda m: unicodedata.normalize("NFKC", m[0])),
    *LATEX_RULES,
    *LATEX_RULES,  # what stands in another's braces: the fraction around a root
    (re.compile("\x1b\\[[0-9;]*[A-Za-z]"), ""),
    (re.compile("[\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff\ufe0e\ufe0f\ue000-\uf8ff]"),
     lambda m: "\n" if m[0] in "\u2028\u2029" else ""),
    (re.compile("\r\n?|[\u0085\x0b\x0c]"), "\n"),
    (re.compile(r"(?is)<break\b[^<>]*>"), _break),
    (re.compile(r"(?is)<!--.{0,1000}?-->|<(script|style)\b[^<>]*>.*?</\1\s*>"), " "),
    (re.compile(r"(?i)<br\s*/?>|</?(?:" + _BLOCK + rf")(?:{_GIVEN})?\s*/?>"), "\n"),
    (re.compile(r"<(https?://[^\s<>]+|[\w.+-]+@[\w.-]+)>"), r"\1"),
    (re.compile(rf"(?i)</?(?:{_TAGS})(?:{_GIVEN})?\s*/?>|</?[a-z][\w:.-]*{_GIVEN}\s*/?>|</[a-z][\w:.-]*\s*>"), ""),
    (re.compile(r"<[!?][A-Za-z][^<>]*>"), ""),
    (re.compile(r"(?<=\w)<([A-Za-z][\w:.-]*)\s*/?>"), r" \1"),
    (re.compile(r"</?([A-Za-z][\w:.-]*)\s*/?>"), r"\1"),
    (re.compile(r"&(?:[A-Za-z]{2,8}|#[0-9]{1,6}|#x[0-9A-Fa-f]{1,5});"), _entity),
    (re.compile(r"(?m)^[ \t]*(?:```|~~~)[\w+-]*[ \t]*$"), ""),
    (re.compile(r"(?m)^[ \t]*\|?[ \t]*:?-{2,}:?[ \t]*\|[ \t:|-]*\n?"), ""),
    (re.compile(r"(?m)^[ \t]*-[ \t]*-[ \t]*-[ \t-]*$"), ""),
    (re.compile(r"(?m)^[ \t]*(?:(?:\*[ \t]*){3,}|(?:_[ \t]*){3,}|={3,})$"), ""),
    (re.compile(r"(?i)(\bthe )?(?<![\w|.])(\|\|?)(?![^|\n]*[a-z]{2})(-?[\w.()]{1,9}(?: ?[-+−*/^] ?[\w.()]{1,9}){0,4})\2"
                r"(?![^\W²³]|\|)"), _bars, "|"),
    (re.compile(r"(?m)^[ \t]*\|.*\|[ \t]*$"), _row),
    (re.compile(r"(?m)^[ \t]*#{1,6}[ \t]+(.*?)[ \t]*#*[ \t]*$"), r"\1"),
    (re.compile(r"(?m)^(?:[ \t]*>(?![0-9=]))+[ \t]?"), ""),
    (re.compile(r"(?m)^[ \t]*[-*+•◦▪‣–—][ \t]+(?:\[[ xX]\][ \t]+)?"), ""),
    (re.compile(r"!?\[([^\[\]\n]*)\]\((?:<[^<>\n]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+\"[^\"\n]*\")?\)"), r"\1"),
    (re.compile(r"(?<=\w)\[\^?[1-9][0-9]{0,2}\]"), ""),
    (re.compile(r"(\*{1,3}|~~|`{1,2})(?=\S)([^\n]{0,200}?\S)\1"), r"\2"),
    (re.compile(r"(?<!\w)(_{1,3})(?=\S)([^\n_]*?\S)\1(?!\w)"), r"\2"),
    (re.compile(r"\*\*|`+|~~"), ""),
    (re.compile(r"(?<=[a-z])-[ \t]*\n[ \t]*(?=[a-z])"), ""),
)  # fmt: skip


def plain(text: Traced) -> Traced:
    """The text without markup; line breaks stay."""
    if text.text.isascii() and not re.search(r"[^\w\s.,!?'’]|[\r\x0b\x0c_\u0085]|\n", text.text):
        return text
    return text.rewrite(RULES)
