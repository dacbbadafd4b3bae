"""Splits captions into words exactly as the field's scorers do, without Java.

Scores depend on how a caption is split into words, so published scores all use one tool: the Penn Treebank tokeniser
of Stanford CoreNLP 3.4.1, a Java program. These rules give the same words; the tests compare the two wherever Java is
installed. Rare cases are not covered: telephone numbers, codes like '&eacute;', quotation marks with nothing between
them, and a caption that ends in a single letter and a full stop ('vitamin C.'), a stop that the reference keeps or
drops depending on the first word of the next caption in its input.
"""

import re
import unicodedata
from collections.abc import Sequence

PUNCTUATION = frozenset(["''", "'", "``", "`", ".", "?", "!", ",", ":", "-", "--", "...", ";"])
"""Tokens that the scorers leave out. Brackets stay, as '-lrb-' and so on: the reference's list has them in capitals."""

_BY_NAME = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-", '"': "''"}
_IN_TWO = {"cannot": 3, "gonna": 3, "gotta": 3, "gimme": 3, "lemme": 3, "wanna": 3, "'tis": 2, "'twas": 2}

_ABBREVIATIONS = """
    adj adm adv al ala alex apr ariz assn assoc asst atty aug ave bhd bldg blvd brig bros calif capt cf cie cmdr co col
    colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft ga gen gov govs hon
    inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md mfg mich minn mlle mme mo mon mont mr
    mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph plc pres prof profs pte ptes pty ptys pvt rd rep reps rev
    rt sen sens sep sept seq sfc sgt spc sq sr st ste supt sys tel tenn thu thurs treas tue tues univ va vs vt wed wis
    wisc wm wyo
"""
_CAPITALISED_ABBREVIATIONS = "ark az del ill la mass miss ore pa tex wash"
_ABBREVIATIONS_OF_NUMBERS = "art ca fig figs no nos op pp prop"
_SENTENCE_STARTS = """
    A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Now Once One
    Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You
"""
_BEFORE_LETTERS = "[’']em [’']till? [’']cause [’'][2-9]0s"
_WITH_APOSTROPHE = "c'mon s'mores e[’']er ev[’']ry li[’']l nat[’']l nor'easter cont'd dunkin[’'] somethin[’'] ol[’']"

_LETTER = r"(?:[^\W\d_]|[\u0300-\u036f])"
_SIGN = r"(?:[^\W_]|[\u0300-\u036f])"  # a letter or a digit
_IS_OR_HAVE = rf"(?:'(?i:[msd]|re|ve|ll)(?!{_LETTER})|’(?i:[msd]|re|ve|ll))"


def _any_of(words: str) -> str:
    return "(?:" + "|".join(sorted(words.split(), key=len, reverse=True)) + ")"


def _in_capitals(words: str) -> str:
    return f"{words.title()} {words.upper()}"


# At each position the rule that reaches furthest wins, the first of equals. Where a rule has a group, the group is the
# token and the rest only has to follow.
_RULES = [
    re.compile(rule)
    for rule in (
        rf"({_LETTER}{_SIGN}*){_IS_OR_HAVE}",  # it|'s
        r"([A-Za-z]*[A-MO-Za-mo-z])(?i:n[’'`]t)",  # do|n't
        rf"(?i:n[’'`]t)(?!{_SIGN})",
        _IS_OR_HAVE,
        rf"(?i:{_any_of(' '.join(_IN_TWO))})(?!{_SIGN})",  # cut in two later
        rf"{_LETTER}{_SIGN}*(?:[.!?]{_LETTER}{_SIGN}*)*",  # word, word.word
        rf"\d+{_SIGN}*",  # 2, 2nd, 20ft
        r"[+-]?(?:\d*(?:[.:,]\d+)+|\d+)",  # -5, 1,000, 10:30, .5
        rf"{_SIGN}+(?:-{_SIGN}+)+",  # three-year-old
        r"[A-Za-z0-9]+(?:[.,][A-Za-z0-9]+)*(?:-[A-Za-z0-9]+)+",  # 3.5-inch
        r"[A-Za-z](?:\.[A-Za-z])*\.(?:-[A-Za-z0-9]+)+",  # U.S.-based
        rf"{_SIGN}+(?:_{_SIGN}+)+",
        r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}",  # and/or, 12/31/2009
        r"[A-Z]+(?:[+&][A-Z]+)+|C\+\+|[CcFf]#",  # AT&T
        rf"(?i:{_any_of(_BEFORE_LETTERS)})",
        rf"(?i:{_any_of(_WITH_APOSTROPHE)})(?!{_SIGN})",
        rf"[dDoOlL][’']{_SIGN}{{2,}}|[A-HJ-XZn][’']{_LETTER}{{2,}}",  # o'clock, O'Brien
        rf"{_LETTER}+[aeiouyAEIOUY][’'][aeiouA-Z]{_LETTER}*",  # ma'am
        rf"[’'][nN][’']|[’'][nN](?!{_SIGN})|[jJyY][’'](?={_LETTER})",  # rock|'n'|roll, y'|all
        r"[’']\d\d(?=[\s.,!?;:]|$)",  # in '08
        r"[A-Za-z](?:\.[A-Za-z])+\.|(?:Ph|Ed)\.D\.",  # U.S.
        rf"[A-Za-z]\.(?!\s+{_any_of(_SENTENCE_STARTS)}\b)",  # J. Smith
        rf"{_any_of(_ABBREVIATIONS + _in_capitals(_ABBREVIATIONS))}\.",
        rf"{_any_of(_in_capitals(_CAPITALISED_ABBREVIATIONS))}\.",
        rf"(?i:{_any_of(_ABBREVIATIONS_OF_NUMBERS)})\.(?=\s*\d)",  # no. 5
        r"(?:https?://|www\.)[^\s<>\"(){}|]*[^\s<>\"(){}|.,!?;:']",
        r"[A-Za-z0-9][\w.%+-]*@(?:[^\s<>\"(){}|.]+\.)*[^\s<>\"(){}|.]+",
        rf"[@#]{_LETTER}(?:{_LETTER}|_)*",  # #sunset
        r"</?[A-Za-z!?][^<>]*>",
        r"[:;=][-']?[()|\]]|[:;=]-?[DPp]\b|:O\b|\^_\^",  # smileys
        r"[!?]{2,}|\.{3,}|-{2,}|\*+|_+|#+|@+|<<|>>|[A-Z]*\$",
        r"''|``",
    )
]
_PLAIN_WORD = re.compile(r"[A-Za-z]+(?=\s|$)")
_STANDS_FOR = {
    "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": '"', "&apos;": "'", "&mdash;": "--", "&ndash;": "--",
    "&nbsp;": " ", "\u2018": "`", "\u201b": "`", "\u2039": "`", "\u203a": "'",
    "\u201c": '"', "\u201d": '"', "\u00ab": '"', "\u00bb": '"',
    "\u2013": " -- ", "\u2014": " -- ", "\u2015": " -- ", "\u2026": " ... ",
    "\u20ac": " $ ", "\u00a3": " # ", "\u00a2": " cents ", "\u00ad": "",
}  # fmt: skip
_TO_REPLACE = re.compile("&[a-z]+;|[^\\x00-\\x7f]")


def tokenize(caption: str) -> list[str]:
    """Split a caption into lower-case words, without punctuation.

    >>> tokenize('A man\\'s dog isn\\'t here: it "ran" off, with a red-headed boy (aged 3).')
    ['a', 'man', "'s", 'dog', 'is', "n't", 'here', 'it', 'ran', 'off', 'with', 'a', 'red-headed', 'boy', '-lrb-', \
'aged', '3', '-rrb-']
    """
    text, tokens, position = _TO_REPLACE.sub(_simplify, caption), [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        token = _token_at(text, position)
        position += len(token)
        tokens += _written(token)
    return [token for token in tokens if token not in PUNCTUATION]


def tokenize_all(captions: Sequence[str]) -> list[str]:
    """Tokenise captions; the words of each are joined by spaces, as pycocoevalcap's scorers expect them."""
    return [" ".join(tokenize(caption)) for caption in captions]


def _simplify(match: re.Match[str]) -> str:
    """What the reference reads where it finds an HTML entity or a character beyond ASCII."""
    text = match[0]
    if text in _STANDS_FOR or len(text) > 1:
        return _STANDS_FOR.get(text, text)
    category = unicodedata.category(text)
    if text > "\uffff" or category in ("Cf", "Cc", "Nl") or text in "\u2010\u2011":
        return " "  # the reference skips these
    if category == "No" and "VULGAR FRACTION" in unicodedata.name(text, ""):
        return f" {unicodedata.normalize('NFKC', text).replace(chr(0x2044), '/')} "
    return f" {text} " if category == "No" else text  # raised and circled numbers stand alone


def _token_at(text: str, position: int) -> str:
    """The token that begins at a position of the text."""
    plain = _PLAIN_WORD.match(text, position)
    if plain:
        return plain[0]
    best, reach = text[position], position
    for rule in _RULES:
        match = rule.match(text, position)
        if match and match.end() > reach:
            best, reach = match[rule.groups], match.end()
    return best


def _written(token: str) -> list[str]:
    """How the reference writes a token: in lower case, brackets by name, some words in two."""
    word = token.lower()
    if word.isalnum() and word not in _IN_TWO:
        return [word]
    if word in _IN_TWO:
        return [word[: _IN_TWO[word]], word[_IN_TWO[word] :]]
    if word.startswith("..."):
        return ["..."]
    if word.startswith("--") and len(word) <= 4:
        return ["--"]
    if re.fullmatch(_IS_OR_HAVE + "|n’t|’", word):
        return [word.replace("’", "'")]
    if len(word) > 1 and word[0] in ":;=":
        return [word.replace("(", "-lrb-").replace(")", "-rrb-")]
    return [_BY_NAME.get(word, word)]
