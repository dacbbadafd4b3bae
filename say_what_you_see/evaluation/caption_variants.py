"""Variants of captions, to see how a metric reacts to a mistake and to other words."""

from collections.abc import Sequence

from say_what_you_see.data.scenes.captions import COLOUR_WORDS, NOUNS, PLACE_WORDS, SIZE_WORDS

COLOUR_NAMES = frozenset(word for words in COLOUR_WORDS.values() for word in words)


def swap_colours(caption: str) -> str:
    """The same caption with its first two different colours exchanged; unchanged if it has fewer.

    >>> swap_colours("a red ball above an orange kite")
    'an orange ball above a red kite'
    """
    words = caption.split()
    places = [i for i, word in enumerate(words) if word in COLOUR_NAMES]
    other = next((i for i in places if words[i] != words[places[0]]), None)
    if other is None:
        return caption
    words[places[0]], words[other] = words[other], words[places[0]]
    return " ".join(fit_articles(words))


def paraphrase(caption: str) -> str:
    """The same claims in other words, where the scenes' grammar has any; unchanged where it has none.

    >>> paraphrase("a tiny red car above a house at sea")
    'a small red automobile over a cottage out on the ocean'
    """
    place = next((place for place in _OTHER_PLACE if f" {place} " in f" {caption} "), None)
    if place:
        caption = f" {caption} ".replace(f" {place} ", f" {_OTHER_PLACE[place]} ").strip()
    return " ".join(fit_articles([_OTHER_WORD.get(word, word) for word in caption.split()]))


def reference_variants(references: Sequence[Sequence[str]]) -> tuple[dict[str, list[str]], list[list[str]]]:
    """Variants of references that name two colours: as written, with colours swapped, and another reference instead.

    Returns:
        The captions of each variant, one for each picture with such a reference and at least two others; and the
        references of these pictures that are left to compare with.
    """
    variants: dict[str, list[str]] = {"as written": [], "colours swapped": [], "other words": []}
    left = []
    for group in references:
        written = [reference.lower() for reference in group]
        place = next((i for i, said in enumerate(written) if swap_colours(said) != said), None)
        if place is not None and len(group) > 2:
            said, (other, *rest) = written[place], written[:place] + written[place + 1 :]
            for captions, caption in zip(variants.values(), (said, swap_colours(said), other), strict=True):
                captions.append(caption)
            left.append(rest)
    return variants, left


def _other_of_each(*groups: Sequence[str]) -> dict[str, str]:
    """For each option the one after it in its group, going round in a circle; duplicates count once."""
    others: dict[str, str] = {}
    for group in groups:
        options = list(dict.fromkeys(group))
        others |= zip(options, options[1:] + options[:1], strict=True)
    return others


_OTHER_PLACE = _other_of_each(*PLACE_WORDS.values())
_OTHER_WORD = _other_of_each(
    *NOUNS.values(), *COLOUR_WORDS.values(), *SIZE_WORDS.values(), ("above", "over"), ("below", "under", "beneath")
)


def fit_articles(words: Sequence[str]) -> list[str]:
    """Make each 'a' or 'an' fit the word after it."""
    fitted = list(words)
    for i, word in enumerate(fitted[:-1]):
        if word in ("a", "an"):
            fitted[i] = "an" if fitted[i + 1][0] in "aeiou" else "a"
    return fitted
