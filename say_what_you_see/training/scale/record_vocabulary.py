"""The vocabulary of TFRecords: `word_counts.txt`, one word per line with its count, as im2txt writes and reads it."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import atomic_path
from say_what_you_see.language.captions import END, START, UNK, split_sentence

SENTENCE_START, SENTENCE_END, UNKNOWN = "<S>", "</S>", "<UNK>"
"""How im2txt spells the special tokens that the course calls START, END and UNK."""

WORD_COUNTS_FILE = "word_counts.txt"


def words_of(caption: str) -> list[str]:
    """The words of a caption between `<S>` and `</S>`."""
    return [SENTENCE_START, *split_sentence(caption), SENTENCE_END]


def write_word_counts(captions: Iterable[str], min_count: int, path: Path) -> dict[str, int]:
    """Write one line `word count` for each word, the commonest first, equally common ones in alphabetical order.

    `<S>` and `</S>` count once for every caption, and are there even if there are few captions.

    Returns:
        The ids of the words, which are the numbers of their lines, from 0; that of `<UNK>` comes after the last line.
    """
    counts = Counter(word for caption in captions for word in words_of(caption))
    kept = [word for word, count in counts.items() if count >= min_count or word in (SENTENCE_START, SENTENCE_END)]
    kept.sort(key=lambda word: (-counts[word], word))
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{word} {counts[word]}\n" for word in kept), encoding="utf-8", newline="\n")
    return {word: index for index, word in enumerate([*kept, UNKNOWN])}


def read_word_counts(path: Path) -> dict[str, int]:
    """Read the vocabulary from `word_counts.txt`: word to id.

    `<S>`, `</S>` and `<UNK>` are called START, END and UNK, as everywhere else in the course. The id of UNK is
    the one after the last line, unless the file lists `<UNK>`.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise CourseError(f"Cannot read {path}: {error.strerror}. Run `say-what-you-see records` first.") from error
    except UnicodeDecodeError as error:
        raise CourseError(f"{path} is not in UTF-8, so it is not a list of words. Get a complete copy.") from error
    special = {SENTENCE_START: START, SENTENCE_END: END, UNKNOWN: UNK}
    vocab: dict[str, int] = {}
    for index, line in enumerate(lines):
        word, _, count = line.partition(" ")
        if not (word and count.isascii() and count.isdigit() and int(count)):
            raise CourseError(f"Line {index + 1} of {path} is {line!r}, but must be a word, a space and its count.")
        if special.get(word, word) in vocab:
            raise CourseError(f"Line {index + 1} of {path} lists {word!r} a second time. Make the file again.")
        vocab[special.get(word, word)] = index
    for word in (SENTENCE_START, SENTENCE_END):
        if special[word] not in vocab:
            raise CourseError(f"{path} has {len(lines)} lines, and none of them is for {word}. Get a complete copy.")
    vocab.setdefault(UNK, len(lines))
    return vocab
