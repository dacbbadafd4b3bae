"""The exercises of notebook 03: from sentences to padded matrices."""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from say_what_you_see.core.errors import CourseError
from say_what_you_see.exercises.cases import Case, Exercise, Mistake
from say_what_you_see.language.captions import (
    END,
    PAD,
    START,
    UNK,
    batch_captions_to_matrix,
    caption_tokens_to_indices,
    generate_vocabulary,
    get_captions_for_fns,
    split_sentence,
)

NOTEBOOK = "03_prepare_captions"

_SPECIAL = {PAD, UNK, START, END}
_WORDS = ("a", "red", "blue", "small", "ball", "kite", "house", "below", "2", "café", "the")


# get_captions_for_fns

Pictures = dict[str, list[str]]
"""Names of pictures with their captions, in the order in which the JSON has them."""


def captions_from_zip(function: Callable, fns: Sequence[str], pictures: Pictures) -> Any:
    """Let a function read the captions of some pictures from a real zip, whose ids are unlike positions."""
    ids = {fn: 100 + 7 * position for position, fn in enumerate(pictures)}
    rounds = max(map(len, pictures.values()))
    annotations = [  # as in COCO, the captions of a picture do not stand together
        {"image_id": ids[fn], "caption": captions[i]}
        for i in range(rounds)
        for fn, captions in pictures.items()
        if i < len(captions)
    ]
    data = {"images": [{"id": ids[fn], "file_name": fn} for fn in pictures], "annotations": annotations}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "captions.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("annotations/captions.json", json.dumps(data))
        return function(fns, path, "annotations/captions.json")


def _caption_cases(rng: np.random.Generator) -> list[Case]:
    pictures = {
        "b.jpg": ["a red ball", "a ball"],
        "a.jpg": ["a kite"],
        "c.jpg": ["a house", "the house", "a red house"],
    }
    cases = [
        Case("one picture", (["a.jpg"], {"a.jpg": ["a kite", "the kite"]})),
        Case("the pictures in the order of the JSON", (list(pictures), pictures)),
        Case("the pictures in another order", (["c.jpg", "b.jpg", "a.jpg"], pictures)),
        Case("some of the pictures", (["c.jpg"], pictures)),
        Case("a picture that has no caption", (["b.jpg", "d.jpg"], pictures | {"d.jpg": []})),
    ]
    for number in (1, 2):
        names = [f"{n}.jpg" for n in rng.permutation(6)]
        drawn = {name: [_sentence(rng) for _ in range(rng.integers(1, 4))] for name in names}
        cases.append(Case(f"random pictures, number {number}", (list(rng.permutation(names)[:4].tolist()), drawn)))
    return cases


def _sentence(rng: np.random.Generator, most: int = 6) -> str:
    return " ".join(rng.choice(_WORDS, size=rng.integers(1, most + 1)).tolist())


def _read_pairs(zip_fn: Path, zip_json_path: str) -> tuple[list[str], list[tuple[str, str]]]:
    """All names, and the pairs of name and caption, as the JSON has them."""
    with zipfile.ZipFile(zip_fn) as archive:
        data = json.loads(archive.read(zip_json_path))
    names = {image["id"]: image["file_name"] for image in data["images"]}
    return list(names.values()), [(names[item["image_id"]], item["caption"]) for item in data["annotations"]]


def _grouped(pairs: Sequence[tuple[str, str]], names: Sequence[str]) -> Pictures:
    return {name: [caption for fn, caption in pairs if fn == name] for name in names}


def _raise_for_missing(fns: Sequence[str], groups: Pictures) -> None:
    if not all(groups.get(fn) for fn in fns):
        raise CourseError("a picture without captions")


def _in_order_of_json(fns: Sequence[str], zip_fn: Path, zip_json_path: str) -> list[list[str]]:
    names, pairs = _read_pairs(zip_fn, zip_json_path)
    groups = _grouped(pairs, names)
    _raise_for_missing(fns, groups)
    return [groups[name] for name in names if name in fns]


def _of_all_pictures(fns: Sequence[str], zip_fn: Path, zip_json_path: str) -> list[list[str]]:
    names, pairs = _read_pairs(zip_fn, zip_json_path)
    _raise_for_missing(fns, groups := _grouped(pairs, names))
    return [captions for captions in groups.values() if captions]


def _last_caption_only(as_list: bool) -> Callable:
    def wrong(fns: Sequence[str], zip_fn: Path, zip_json_path: str) -> list:
        _, pairs = _read_pairs(zip_fn, zip_json_path)
        last = dict(pairs)
        _raise_for_missing(fns, {fn: [caption] for fn, caption in pairs})
        return [[last[fn]] if as_list else last[fn] for fn in fns]

    return wrong


def _missing_passes(missing: str) -> Callable:
    def wrong(fns: Sequence[str], zip_fn: Path, zip_json_path: str) -> list[list[str]]:
        names, pairs = _read_pairs(zip_fn, zip_json_path)
        groups = {name: captions for name, captions in _grouped(pairs, names).items() if captions}
        if missing == "KeyError":
            return [groups[fn] for fn in fns]
        if missing == "left out":
            return [groups[fn] for fn in fns if fn in groups]
        return [groups.get(fn, []) for fn in fns]

    return wrong


def _all_in_one_list(fns: Sequence[str], zip_fn: Path, zip_json_path: str) -> list[str]:
    return [caption for captions in get_captions_for_fns(fns, zip_fn, zip_json_path) for caption in captions]


def _dictionary(fns: Sequence[str], zip_fn: Path, zip_json_path: str) -> Pictures:
    return dict(zip(fns, get_captions_for_fns(fns, zip_fn, zip_json_path), strict=True))


def _id_as_position(fns: Sequence[str], zip_fn: Path, zip_json_path: str) -> list[list[str]]:
    with zipfile.ZipFile(zip_fn) as archive:
        data = json.loads(archive.read(zip_json_path))
    return [[data["images"][item["image_id"]]["file_name"] for item in data["annotations"]] for _ in fns]


_CAPTIONS_FOR_FNS = Exercise(
    get_captions_for_fns,
    NOTEBOOK,
    _caption_cases,
    mistakes=(
        Mistake(
            "the captions come in the order of the JSON, and not in that of the file names",
            _in_order_of_json,
            "Row 7 of the embeddings belongs to fns[7]. What do you go through at the end, the JSON or fns?",
        ),
        Mistake(
            "the captions of all pictures come back, and not those of the pictures that were asked for",
            _of_all_pictures,
            "How long should the result be: as long as the JSON, or as fns?",
        ),
        Mistake(
            "of each picture only the last caption is kept",
            _last_caption_only(as_list=True),
            "A picture has several captions. What happens to the first when the second comes under the same name?",
        ),
        Mistake(
            "of each picture only the last caption is kept, and not in a list",
            _last_caption_only(as_list=False),
            "A picture has several captions. What happens to the first when the second comes under the same name?",
        ),
        Mistake(
            "a picture without captions ends in a KeyError, which tells the user nothing",
            _missing_passes("KeyError"),
            "Look for names without captions before you use them, and raise the error that the docstring promises.",
        ),
        Mistake(
            "a picture without captions gets an empty list, and nobody notices",
            _missing_passes("empty"),
            "The docstring promises an error. A defaultdict or get with a default hides what is missing.",
        ),
        Mistake(
            "a picture without captions is left out, so the rows after it belong to other pictures",
            _missing_passes("left out"),
            "The docstring promises an error for it.",
        ),
        Mistake(
            "all captions stand in one list, and one can no longer tell whose they are",
            _all_in_one_list,
            "The result has one list for each picture, with its captions in it.",
        ),
        Mistake(
            "the result is a dictionary, and not a list in the order of fns",
            _dictionary,
            "The embeddings have no names, only an order. What has an order and no names?",
        ),
        Mistake(
            "the id of a picture is taken for its position in the list of images",
            _id_as_position,
            "Ids are any numbers. Which two fields of an entry in `images` belong together?",
        ),
    ),
    hints=(
        "The JSON has two lists. `images` joins ids and file names, `annotations` joins ids and captions.",
        "First make a dictionary from id to file name, then one from file name to its list of captions.",
        "A defaultdict(list) gives each new file name an empty list to append to. Mind that looking up adds, too.",
        "At the end go through fns, in this order; before that, see whether each of them has captions.",
    ),
    observe=captions_from_zip,
)


# split_sentence


def _sentence_cases(rng: np.random.Generator) -> list[Case]:
    fixed = {
        "words and spaces": "a red ball",
        "capital letters": "A Red BALL",
        "punctuation at the ends": "A red ball, below a kite.",
        "punctuation within a word": "A black-and-white dog's ball",
        "digits and letters with accents": "2 cafés in 1999",
        "several spaces and a line's end": "  a  red\tball \n",
        "a word twice": "the ball and the kite",
        "no word at all": " ... !",
    }
    cases = [Case(name, (text,)) for name, text in fixed.items()]
    for number in (1, 2, 3):
        marks = rng.choice([" ", ", ", ". ", "-", "! ", "  "], size=6)
        words = [word.upper() if rng.random() < 0.3 else word for word in rng.choice(_WORDS, size=6).tolist()]
        text = "".join(part for pair in zip(words, marks.tolist(), strict=True) for part in pair)
        cases.append(Case(f"random words and marks, number {number}", (text,)))
    return cases


_SPLIT_SENTENCE = Exercise(
    split_sentence,
    NOTEBOOK,
    _sentence_cases,
    mistakes=(
        Mistake(
            "capital letters stay, so A and a become two words",
            lambda sentence: re.findall(r"\w+", sentence),
            "The network sees indices. Should it have to learn twice what a ball is?",
        ),
        Mistake(
            "punctuation stays at the words, so ball and ball. become two words",
            lambda sentence: sentence.lower().split(),
            "split() cuts at spaces only. The module re knows a sign for the characters of words.",
        ),
        Mistake(
            "capital letters and punctuation stay",
            lambda sentence: sentence.split(),
            "split() cuts at spaces and does nothing else. The module re knows a sign for the characters of words.",
        ),
        Mistake(
            "punctuation goes at the ends of words only, and stays within black-and-white",
            lambda sentence: [word for part in sentence.lower().split() if (word := part.strip(".,!?'-"))],
            "Instead of taking away what does not belong, look for what does: runs of the characters of words.",
        ),
        Mistake(
            "digits and letters with accents are lost",
            lambda sentence: re.findall(r"[a-z]+", sentence.lower()),
            "a to z are 26 letters, and the world has more. The module re has a sign for all of them.",
        ),
        Mistake(
            "there are empty strings among the words",
            lambda sentence: re.split(r"\W+", sentence.lower()),
            "What stands before the first mark that you split at, if the sentence begins or ends with one?",
        ),
        Mistake(
            "the sentence comes apart into letters",
            lambda sentence: re.findall(r"\w", sentence.lower()),
            "One character at a time is found. What makes a regular expression take as many as it can?",
        ),
        Mistake(
            "each word comes once only, sorted",
            lambda sentence: sorted(set(re.findall(r"\w+", sentence.lower()))),
            "A caption is a row of words, in which a word may come again.",
        ),
        Mistake(
            "the result is one text, and not a list of words",
            lambda sentence: " ".join(re.findall(r"\w+", sentence.lower())),
            "Look at the example in the docstring.",
        ),
    ),
    hints=(
        "Two things are to be done: make the letters small, and find the words.",
        "In a regular expression, \\w is a letter or a digit, and + after it means one or more.",
        "re.findall gives all places at which a regular expression fits, as a list.",
    ),
)


# generate_vocabulary


def _vocabulary_cases(rng: np.random.Generator) -> list[Case]:
    toy = [["a b", "b c"], ["d"]]
    twice = [["The red ball, the ball.", "A ball!"], ["a red kite"], ["Zebra"]]
    cases = [
        Case("a word that occurs exactly min_count times", (toy, 2)),
        Case("every word is kept", (toy, 1)),
        Case("a word that occurs often in one caption", ([["ball ball ball", "kite"], ["kite"]], 3)),
        Case("capital letters and punctuation", (twice, 2)),
        Case("words that do not come in the order of the alphabet", ([["zebra kite ball"]], 1)),
        Case("no word occurs often enough", (toy, 9)),
        Case("without min_count, which then is 5", ([["a a a a a b b b b"]],)),
    ]
    for number in (1, 2, 3):
        captions = [[_sentence(rng) for _ in range(rng.integers(1, 4))] for _ in range(4)]
        cases.append(Case(f"random captions, number {number}", (captions, int(rng.integers(2, 4)))))
    return cases


def _count(captions: Sequence[Sequence[str]], split: Callable = split_sentence) -> Counter:
    return Counter(word for group in captions for caption in group for word in split(caption))


def _indexed(words: Sequence[str], start: int = 0) -> dict[str, int]:
    return {word: index for index, word in enumerate(words, start=start)}


def _vocabulary(
    specials: Sequence[str] = (PAD, UNK, START, END),
    keep: Callable[[int, int], bool] = lambda count, min_count: count >= min_count,
    count: Callable[[Sequence[Sequence[str]]], Counter] = _count,
    start: int = 0,
    default: int = 5,
) -> Callable:
    """A `generate_vocabulary` in which one step is done in another way."""

    def wrong(train_captions: Sequence[Sequence[str]], min_count: int = default) -> dict[str, int]:
        words = {word for word, times in count(train_captions).items() if keep(times, min_count)}
        return _indexed(sorted(words | set(specials)), start)

    return wrong


def _specials_in_front(train_captions: Sequence[Sequence[str]], min_count: int = 5) -> dict[str, int]:
    words = generate_vocabulary(train_captions, min_count)
    return _indexed([PAD, UNK, START, END, *(word for word in words if word not in _SPECIAL)])


def _specials_behind(train_captions: Sequence[Sequence[str]], min_count: int = 5) -> dict[str, int]:
    words = generate_vocabulary(train_captions, min_count)
    return _indexed([*(word for word in words if word not in _SPECIAL), PAD, UNK, START, END])


def _by_frequency(train_captions: Sequence[Sequence[str]], min_count: int = 5) -> dict[str, int]:
    words = [word for word, count in _count(train_captions).most_common() if count >= min_count]
    return _indexed([PAD, UNK, START, END, *words])


def _first_come(train_captions: Sequence[Sequence[str]], min_count: int = 5) -> dict[str, int]:
    words = [word for word, count in _count(train_captions).items() if count >= min_count]
    return _indexed([PAD, UNK, START, END, *words])


_SORTING = "All words are sorted together, the special tokens among them, and then counted from 0. sorted knows how."

_GENERATE_VOCABULARY = Exercise(
    generate_vocabulary,
    NOTEBOOK,
    _vocabulary_cases,
    mistakes=(
        Mistake(
            "words that occur exactly min_count times are left out",
            _vocabulary(keep=lambda count, min_count: count > min_count),
            "The docstring says min_count times or more. Which comparison says that?",
        ),
        Mistake(
            "min_count is not looked at: every word is in the vocabulary",
            _vocabulary(keep=lambda count, min_count: True),
            "Count first, and then choose.",
        ),
        Mistake(
            "the rare words are kept, and the frequent ones left out",
            _vocabulary(keep=lambda count, min_count: count < min_count),
            "Which words should the network learn, those that it meets often or seldom?",
        ),
        Mistake("the special tokens are missing", _vocabulary(()), "Four tokens stand in no caption. Who adds them?"),
        Mistake(
            "UNK is missing",
            _vocabulary((PAD, START, END)),
            "Which index will a word get that is not in the vocabulary?",
        ),
        Mistake(
            "PAD is missing",
            _vocabulary((UNK, START, END)),
            "Which index will fill up the short captions?",
        ),
        Mistake(
            "START and END are missing",
            _vocabulary((PAD, UNK)),
            "What stands before the first word of a caption, and after its last?",
        ),
        Mistake(
            "the indices begin at 1",
            _vocabulary(start=1),
            "The index is a place in the last layer of the network, and places are counted from 0.",
        ),
        Mistake(
            "the special tokens stand in front, in an order of their own",
            _specials_in_front,
            _SORTING,
        ),
        Mistake("the special tokens stand behind the words", _specials_behind, _SORTING),
        Mistake("the words are in the order of their frequency, and not sorted", _by_frequency, _SORTING),
        Mistake("the words are in the order in which they come, and not sorted", _first_come, _SORTING),
        Mistake(
            "it counts in how many captions a word stands, and not how often it occurs",
            _vocabulary(count=lambda captions: Counter(w for g in captions for c in g for w in set(split_sentence(c)))),
            "A set forgets that a word came twice.",
        ),
        Mistake(
            "capital letters and punctuation make words different",
            _vocabulary(count=lambda captions: _count(captions, str.split)),
            "You have already written a function that takes a sentence apart.",
        ),
        Mistake(
            "letters are counted, and not words",
            _vocabulary(count=lambda captions: _count(captions, list)),
            "To go through a text is to go through its letters. You have written a function that gives its words.",
        ),
        Mistake(
            "the dictionary is the wrong way round: from index to word",
            lambda train_captions, min_count=5: dict(enumerate(generate_vocabulary(train_captions, min_count))),
            "What will be looked up later, a word or an index?",
        ),
        Mistake(
            "the result is a list of words, without their indices",
            lambda train_captions, min_count=5: list(generate_vocabulary(train_captions, min_count)),
            "enumerate gives each word its place.",
        ),
        Mistake(
            "min_count is 1 where it is not given",
            _vocabulary(default=1),
            "Look at the signature: there was a default.",
        ),
    ),
    hints=(
        "Three steps: count all words, choose those that occur often enough, give each an index.",
        "collections.Counter counts whatever you let it go through: every word of every caption of every picture.",
        "Put the four special tokens and the chosen words into one set, and sort it.",
        "enumerate on the sorted words gives index and word; the dictionary wants them the other way round.",
    ),
)


# caption_tokens_to_indices


def _index_cases(rng: np.random.Generator) -> list[Case]:
    vocab = generate_vocabulary([["a red ball kite house"]], 1)
    cases = [
        Case("one caption of known words", ([["a red ball"]], vocab)),
        Case("a word that is not in the vocabulary", ([["a purple ball"]], vocab)),
        Case("capital letters and punctuation", ([["A red ball, a kite!"]], vocab)),
        Case("two pictures, one of them with two captions", ([["a kite", "a red kite"], ["a house"]], vocab)),
        Case("a caption without words", ([["..."]], vocab)),
        Case("another vocabulary", ([["a red ball"]], {START: 7, END: 3, UNK: 5, PAD: 0, "a": 2, "ball": 11})),
    ]
    for number in (1, 2, 3):
        captions = [[_sentence(rng) for _ in range(rng.integers(1, 4))] for _ in range(3)]
        known = sorted({str(word) for word in rng.choice(_WORDS, size=6)} | _SPECIAL)
        cases.append(Case(f"random captions, number {number}", (captions, _indexed(known))))
    return cases


Vocabulary = dict[str, int]


def _to_indices(
    before: Sequence[str] = (START,),
    after: Sequence[str] = (END,),
    find: Callable[[Vocabulary, str], int | None] = lambda vocab, word: vocab.get(word, vocab[UNK]),
    split: Callable = split_sentence,
) -> Callable:
    """A `caption_tokens_to_indices` in which one step is done in another way."""

    def wrong(captions: Sequence[Sequence[str]], vocab: Vocabulary) -> list[list[list]]:
        return [[[find(vocab, w) for w in (*before, *split(c), *after)] for c in group] for group in captions]

    return wrong


def _without_unknown(captions: Sequence[Sequence[str]], vocab: Vocabulary) -> list[list[list[int]]]:
    right = caption_tokens_to_indices(captions, vocab)
    return [[[index for index in caption if index != vocab[UNK]] for caption in group] for group in right]


_ENDS = "The network must learn when to begin and when to stop. Which two tokens tell it?"
_UNKNOWN = (
    "Which token was made for words that the vocabulary does not have? A dictionary's get takes a second argument."
)

_TOKENS_TO_INDICES = Exercise(
    caption_tokens_to_indices,
    NOTEBOOK,
    _index_cases,
    mistakes=(
        Mistake("END is missing at the end of each caption", _to_indices(after=()), _ENDS),
        Mistake("START is missing at the beginning of each caption", _to_indices(before=()), _ENDS),
        Mistake("START and END are missing", _to_indices((), ()), _ENDS),
        Mistake("START and END have changed places", _to_indices((END,), (START,)), _ENDS),
        Mistake("PAD stands where END should be", _to_indices(after=(PAD,)), _ENDS),
        Mistake(
            "UNK is forgotten: a word that is not in the vocabulary ends in a KeyError",
            _to_indices(find=lambda vocab, word: vocab[word]),
            _UNKNOWN,
        ),
        Mistake(
            "UNK is forgotten: a word that is not in the vocabulary becomes None",
            _to_indices(find=lambda vocab, word: vocab.get(word)),
            _UNKNOWN,
        ),
        Mistake(
            "UNK is forgotten: words that are not in the vocabulary are left out",
            _without_unknown,
            _UNKNOWN,
        ),
        Mistake(
            "words that are not in the vocabulary become PAD, which does not count in training",
            _to_indices(find=lambda vocab, word: vocab.get(word, vocab[PAD])),
            _UNKNOWN,
        ),
        Mistake(
            "words that are not in the vocabulary become 0, which is another word's index",
            _to_indices(find=lambda vocab, word: vocab.get(word, 0)),
            _UNKNOWN,
        ),
        Mistake(
            "the index of a special token is taken to be the same in every vocabulary",
            lambda captions, vocab: caption_tokens_to_indices(captions, vocab | {END: 0, PAD: 1, START: 2, UNK: 3}),
            "Look up START, END and UNK in the vocabulary that was handed in, as you look up any word.",
        ),
        Mistake(
            "letters are looked up, and not words",
            _to_indices(split=list),
            "To go through a text is to go through its letters. You have written a function that gives its words.",
        ),
        Mistake(
            "capital letters and punctuation hide words that are in the vocabulary",
            _to_indices(split=str.split),
            "The vocabulary was made from words as split_sentence gives them.",
        ),
        Mistake(
            "the captions of all pictures stand in one list",
            lambda captions, vocab: [one for group in caption_tokens_to_indices(captions, vocab) for one in group],
            "The result has three levels: pictures, their captions, the indices of these.",
        ),
        Mistake(
            "of each picture only the first caption is kept",
            lambda captions, vocab: [group[:1] for group in caption_tokens_to_indices(captions, vocab)],
            "A picture may have five captions, and all of them are wanted.",
        ),
    ),
    hints=(
        "Begin with one caption: write a function that takes one and gives a list of indices.",
        "One caption is START, then the words that split_sentence finds, then END. Each of them is looked up in vocab.",
        "What is not in the vocabulary gets the index of UNK. vocab.get takes a default.",
        "Then do so for every caption of every picture: a list in a list.",
    ),
)


# batch_captions_to_matrix


def _matrix_cases(rng: np.random.Generator) -> list[Case]:
    cases = [
        Case("captions of different lengths", ([[1, 2, 3], [4, 5]], 9)),
        Case("the longest caption is not the first", ([[4], [1, 2, 3, 6], [5, 6]], 9)),
        Case("max_len cuts the long ones", ([[1, 2, 3, 4], [5, 6]], 9, 3)),
        Case("max_len is longer than all captions", ([[1, 2, 3], [4, 5]], 9, 7)),
        Case("PAD is 0", ([[1, 2, 3], [4]], 0)),
        Case("one caption", ([[3, 1, 2]], 1)),
        Case("max_len by its name", ([[1, 2, 3, 4, 5], [6]], 1), {"max_len": 2}),
    ]
    for number in (1, 2, 3):
        captions = [rng.integers(2, 90, size=rng.integers(1, 9)).tolist() for _ in range(4)]
        max_len = None if number == 1 else int(rng.integers(2, 6))
        cases.append(Case(f"random captions, number {number}", (captions, 1, max_len)))
    return cases


Captions = Sequence[Sequence[int]]


def _matrix(
    width: Callable[[int, int | None], int] = lambda longest, max_len: (
        longest if max_len is None else min(longest, max_len)
    ),
    cut: Callable[[Sequence[int], int], list[int]] = lambda caption, columns: list(caption[:columns]),
    left: bool = False,
    fill: int | None = None,
    dtype: Any = np.int32,
) -> Callable:
    """A `batch_captions_to_matrix` in which one step is done in another way."""

    def wrong(batch_captions: Captions, pad_idx: int, max_len: int | None = None) -> np.ndarray:
        columns = width(max(map(len, batch_captions)), max_len)
        rows = []
        for caption in batch_captions:
            words = cut(caption, columns)
            padding = [pad_idx if fill is None else fill] * (columns - len(words))
            rows.append(padding + words if left else words + padding)
        return np.array(rows, dtype)

    return wrong


def _whole_captions_only(batch_captions: Captions, pad_idx: int, max_len: int | None = None) -> np.ndarray:
    kept = [caption for caption in batch_captions if max_len is None or len(caption) <= max_len]
    return batch_captions_to_matrix(kept, pad_idx) if kept else np.zeros((0, max_len or 0), np.int32)


def _pad_in_place(batch_captions: list[list[int]], pad_idx: int, max_len: int | None = None) -> np.ndarray:
    matrix = batch_captions_to_matrix(batch_captions, pad_idx, max_len)
    for caption in batch_captions:
        caption += [pad_idx] * (matrix.shape[1] - len(caption))
        del caption[matrix.shape[1] :]
    return matrix


_WIDTH = "How many columns are needed: for the longest caption, but never more than max_len?"
_DTYPE = "np.full, np.zeros and np.array take the type of the numbers as dtype."

_BATCH_TO_MATRIX = Exercise(
    batch_captions_to_matrix,
    NOTEBOOK,
    _matrix_cases,
    mistakes=(
        Mistake(
            "the padding stands on the left",
            _matrix(left=True),
            "Where does the caption begin, and where is room left: row[:n] or row[-n:]?",
        ),
        Mistake(
            "the free places hold 0, and not pad_idx",
            _matrix(fill=0),
            "np.zeros fills with 0, and 0 is the index of a word. What fills with any number?",
        ),
        Mistake(
            "the matrix has as many columns as max_len says, even if no caption is so long",
            _matrix(width=lambda longest, max_len: longest if max_len is None else max_len),
            _WIDTH,
        ),
        Mistake("max_len is not looked at", _matrix(width=lambda longest, max_len: longest), _WIDTH),
        Mistake(
            "off by one: there is a column too many",
            _matrix(width=lambda longest, max_len: 1 + (longest if max_len is None else min(longest, max_len))),
            _WIDTH,
        ),
        Mistake(
            "off by one: captions are cut to one index less than max_len",
            _matrix(width=lambda longest, max_len: longest if max_len is None else min(longest, max_len - 1)),
            "caption[:n] holds n indices, from 0 to n - 1.",
        ),
        Mistake(
            "long captions lose their beginning, and not their end",
            _matrix(cut=lambda caption, columns: list(caption[-columns:])),
            "Which slice gives the first max_len indices?",
        ),
        Mistake(
            "the last index of a long caption is kept at the cut",
            _matrix(cut=lambda c, columns: list(c) if len(c) <= columns else [*c[: columns - 1], c[-1]]),
            "A caption that is cut has not come to its end, and should not say so. Take its first indices as they are.",
        ),
        Mistake(
            "captions that are too long are left out, and not cut",
            _whole_captions_only,
            "The matrix has one row for each caption.",
        ),
        Mistake("the numbers are int64, and not int32", _matrix(dtype=np.int64), _DTYPE),
        Mistake("the numbers are floats, and not int32", _matrix(dtype=np.float64), _DTYPE),
        Mistake("the numbers are float32, and not int32", _matrix(dtype=np.float32), _DTYPE),
        Mistake(
            "the result is a list of lists, and not an array",
            lambda batch_captions, pad_idx, max_len=None: batch_captions_to_matrix(
                batch_captions, pad_idx, max_len
            ).tolist(),
            "Make the matrix first with NumPy, full of padding, and write the captions into it.",
        ),
        Mistake(
            "the matrix lies on its side: captions are columns",
            lambda batch_captions, pad_idx, max_len=None: batch_captions_to_matrix(batch_captions, pad_idx, max_len).T,
            "A shape gives rows first, and each caption is a row.",
        ),
        Mistake(
            "it pads the lists that it was given, which others still need",
            _pad_in_place,
            "+=, append and del change a list for everybody who has it. Make new lists, or write into the matrix.",
        ),
    ),
    hints=(
        "How many rows and columns does the matrix have? Find the columns first, with and without max_len.",
        "np.full makes a matrix in which every place holds the same number, and takes a dtype.",
        "Then go through rows and captions together. A row of a matrix can be written to: row[:3] = [1, 2, 3].",
    ),
)


EXERCISES = (_CAPTIONS_FOR_FNS, _SPLIT_SENTENCE, _GENERATE_VOCABULARY, _TOKENS_TO_INDICES, _BATCH_TO_MATRIX)
"""In the order of the notebook."""
