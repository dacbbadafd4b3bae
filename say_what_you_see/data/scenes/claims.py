"""Reads what a caption of a scene claims: which things, in which colours and sizes, and how they are related."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from say_what_you_see.data.scenes.captions import COLOUR_WORDS, NOUNS, RELATION_WORDS, SIZE_WORDS

_KIND_OF = {noun: kind for kind, nouns in NOUNS.items() for noun in nouns}
_COLOUR_OF = {word: colour for colour, words in COLOUR_WORDS.items() for word in words}
_SIZE_OF = {word: size for size, words in SIZE_WORDS.items() for word in words}
_RELATION_OF = {  # by the one word that distinguishes them: "to the left of" is recognised by "left"
    word: relation
    for relation, phrases in RELATION_WORDS.items()
    for phrase in phrases
    for word in phrase.split()
    if word not in ("to", "the", "of")
}
_LINKING = {"a", "an", "the", "of", *_COLOUR_OF, *_SIZE_OF}


@dataclass
class Mention:
    """A thing that a caption names, with the colour and size it gives it."""

    kind: str
    position: int
    colour: str | None = None
    size: str | None = None


@dataclass
class Claims:
    """What a caption says: things, and relations as (index of subject, relation, index of object)."""

    mentions: list[Mention] = field(default_factory=list)
    relations: list[tuple[int, str, int]] = field(default_factory=list)


def read_claims(caption: str) -> Claims:
    """Read the claims of a caption; words that claim nothing about things are ignored."""
    words = re.findall(r"\w+", caption.lower())
    claims = Claims(_read_mentions(words))
    for position, word in enumerate(words):
        if word in _RELATION_OF:
            related = _related_mentions(words, position, claims.mentions)
            if related:
                claims.relations.append((related[0], _RELATION_OF[word], related[1]))
    return claims


def _read_mentions(words: Sequence[str]) -> list[Mention]:
    """Every noun that names a thing, with the adjectives before it or stated after 'is'."""
    mentions: list[Mention] = []
    colour = size = None
    for position, word in enumerate(words):
        if word in _KIND_OF:
            mentions.append(Mention(_KIND_OF[word], position, colour, size))
        if word in _COLOUR_OF:
            colour = _COLOUR_OF[word]
            if position and words[position - 1] == "is" and mentions and mentions[-1].position == position - 2:
                mentions[-1].colour, colour = colour, None
        elif word in _SIZE_OF:
            size = _SIZE_OF[word]
        else:
            colour = size = None
    return mentions


def _related_mentions(words: Sequence[str], position: int, mentions: Sequence[Mention]) -> tuple[int, int] | None:
    """Subject and object of the relation word at a position, as indices of mentions; None if it relates nothing."""
    before = [i for i, mention in enumerate(mentions) if mention.position < position]
    after = [i for i, mention in enumerate(mentions) if mention.position > position]
    rest = [word for word in words[position + 1 : position + 3] if word != "of"]
    if rest[:1] == ["it"]:  # 'a house with a ball above it'
        return (before[-1], before[-2]) if len(before) >= 2 else None
    if not after or any(word not in _LINKING for word in words[position + 1 : mentions[after[0]].position]):
        return None
    if before:
        return before[-1], after[0]
    return (after[1], after[0]) if len(after) >= 2 else None  # 'below a kite there is a ball'
