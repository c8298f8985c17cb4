"""The text tokenizer of a checkpoint folder.

mini's normalizer is 17,000 replacements (``streamtts.mini.text_tokenizer``). The tokenizers library applies one after
the other, which takes 8 ms, however short the text. Here only those are applied whose letters are in the text: the rest
would find nothing. The result is the same in a tenth of the time.
"""

from __future__ import annotations

import json
import re
from itertools import groupby
from pathlib import Path
from typing import Any

from ..errors import CheckpointError

_WORD = re.compile(r"\(\?<= \)((?:[a-z]|\\?')+)\(\?!\[a-z'\]\)")
_IN_CONTEXT = re.compile(r"(?:\(\?<=([^()\[\]]+)\))?([a-z])(?:\(\?=([^()\[\]]*)(?:\(\?!\[[^\]]+\]\))?\))?")
_LETTERS = re.compile("[a-z']+")


def tokenizer_of(folder: Path) -> Any:
    """The Hugging Face text tokenizer of a checkpoint folder.

    Raises:
        CheckpointError: It cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        if (folder / "tokenizer_config.json").exists():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            if tokenizer.pad_token is None:
                tokenizer.pad_token = tokenizer.eos_token
            return tokenizer
        return read_tokenizer(folder / "tokenizer.json")
    except Exception as e:  # the tokenizers library raises bare Exception for a damaged file
        raise CheckpointError(f"the text tokenizer in {folder} cannot be read ({e}); fetch it again") from e


def read_tokenizer(file: Path) -> Any:
    """The Hugging Face tokenizer of a ``tokenizer.json``, with a faster normalizer for rules of mini's kinds.

    Raises:
        Exception: The file is damaged.
    """
    from tokenizers import Tokenizer, normalizers
    from transformers import PreTrainedTokenizerFast

    content = json.loads(file.read_text(encoding="utf-8"))
    normalizer_steps: list[Any] = []
    steps = (content["normalizer"] or {}).get("normalizers", [])
    if any(map(_kind, steps)):
        for kind, run in groupby(steps, key=_kind):
            rules = list(run)
            normalizer_steps.append(normalizers.Normalizer.custom(kind(rules)) if kind else _library_normalizer(rules))
        content["normalizer"] = None  # so the library does not compile all the patterns
    bare = Tokenizer.from_str(json.dumps(content))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, pad_token="[PAD]", unk_token="[UNK]")
    if normalizer_steps:
        tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(normalizer_steps)
    return tokenizer


def _kind(step: dict[str, Any]) -> type[_WordRules] | type[_LetterRules] | None:
    """Which class applies a step; None: the library's own normalizer."""
    pattern = step.get("pattern", {}).get("Regex", "") if step["type"] == "Replace" else ""
    return _WordRules if _WORD.fullmatch(pattern) else _LetterRules if _IN_CONTEXT.fullmatch(pattern) else None


def _library_normalizer(steps: list[dict[str, Any]]) -> Any:
    """The library's own normalizer for some steps: read from JSON as part of a whole tokenizer, the only way."""
    from tokenizers import Tokenizer, models

    content = json.loads(Tokenizer(models.WordLevel()).to_str())
    content["normalizer"] = {"type": "Sequence", "normalizers": steps}
    return Tokenizer.from_str(json.dumps(content)).normalizer


class _Rules:
    """Replacements in the order of the file."""

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        self.rules = [(step["pattern"]["Regex"], step["content"]) for step in steps]
        self.literals = [_literal(pattern) for pattern, _ in self.rules]
        self._compiled: dict[int, Any] = {}

    def apply(self, i: int, text: Any) -> None:
        """Apply one replacement to a ``NormalizedString``."""
        from tokenizers import Regex

        pattern, content = self.rules[i]
        if i not in self._compiled:
            self._compiled[i] = Regex(pattern)
        text.replace(self._compiled[i], content)


class _WordRules(_Rules):
    """Replacements of whole words; none makes a word that another one replaces."""

    def __init__(self, steps: list[dict[str, Any]]) -> None:
        super().__init__(steps)
        self.rule_of_word = {word: i for i, word in enumerate(self.literals)}

    def normalize(self, text: Any) -> None:
        """Called by ``tokenizers``."""
        words = set(_LETTERS.findall(text.normalized)) & self.rule_of_word.keys()
        for i in sorted(self.rule_of_word[word] for word in words):
            self.apply(i, text)


class _LetterRules(_Rules):
    """Replacements of single letters between given neighbours, which earlier rules may have written."""

    def normalize(self, text: Any) -> None:
        """Called by ``tokenizers``."""
        current = text.normalized
        if not _LETTERS.search(current):
            return
        for i, literal in enumerate(self.literals):
            if literal in current:
                self.apply(i, text)
                current = text.normalized


def _literal(pattern: str) -> str:
    """Text that must occur for a rule's pattern to match."""
    match = _WORD.fullmatch(pattern) or _IN_CONTEXT.fullmatch(pattern)
    assert match
    return re.sub(r"\\(.)", r"\1", "".join(part or "" for part in match.groups()))
