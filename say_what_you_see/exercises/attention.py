"""The exercises of notebook 08: a vocabulary, the attention layer, a step of the decoder, a loop, and a control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.exercises.cases import Case, Exercise, Mistake
from say_what_you_see.exercises.compare import short
from say_what_you_see.exercises.facts import Facts
from say_what_you_see.exercises.tensors import as_numpy, draw_weights
from say_what_you_see.language.captions import END, PAD, START, UNK, split_sentence
from say_what_you_see.models.attention import (
    AttentionCell,
    BahdanauAttention,
    build_visual_attention,
    empty_state,
    most_frequent_words,
    predict_step_by_step,
    with_even_attention,
)

NOTEBOOK = "08_visual_attention"

layers, ops = keras.layers, keras.ops
Captions = Sequence[Sequence[str]]


# most_frequent_words

_WORDS = ("a", "red", "blue", "ball", "kite", "house", "below", "zebra")


def _word_cases(rng: np.random.Generator) -> list[Case]:
    toy = [["A red ball.", "The red sun"], ["a kite"]]
    cases = [
        Case("two of the words", (toy, 2)),
        Case("words that are equally frequent", ([["zebra kite ball house"]], 2)),
        Case("a word that occurs often in one caption", ([["ball ball ball kite"], ["kite", "house", "a kite"]], 1)),
        Case("fewer words than the limit", (toy, 100)),
        Case("without a limit, which then is 5,000", (toy,)),
        Case("no word at all", (toy, 0)),
    ]
    for number in (1, 2, 3):
        captions = [[" ".join(rng.choice(_WORDS, size=5).tolist()) for _ in range(2)] for _ in range(4)]
        cases.append(Case(f"random captions, number {number}", (captions, int(rng.integers(2, 6)))))
    return cases


def _all_words(captions: Captions, split: Callable = split_sentence) -> list[str]:
    return [word for group in captions for caption in group for word in split(caption)]


def _frequent(
    order: Callable = lambda counts: sorted(counts, key=lambda word: (-counts[word], word)),
    cut: Callable = lambda words, limit: words[:limit],
    number: Callable = lambda words: sorted({*words, PAD, UNK, START, END}),
    count: Callable = lambda captions: Counter(_all_words(captions)),
    start: int = 0,
) -> Callable:
    """A `most_frequent_words` in which one step is done in another way."""

    def wrong(captions: Captions, limit: int = 5_000) -> dict[str, int]:
        words = number(cut(order(count(captions)), limit))
        return {word: index for index, word in enumerate(words, start)}

    return wrong


_TIES = "most_common leaves equally frequent words in the order in which they came. A key can be a pair."
_NUMBERING = "The indices follow the sorted words, the special tokens among them."

_MOST_FREQUENT = Exercise(
    most_frequent_words,
    NOTEBOOK,
    _word_cases,
    mistakes=(
        Mistake(
            "of equally frequent words those are kept that came first, and not those first in the alphabet",
            _frequent(lambda counts: [word for word, _ in counts.most_common()]),
            _TIES,
        ),
        Mistake(
            "of equally frequent words those are kept that are last in the alphabet",
            _frequent(lambda counts: sorted(counts, key=lambda word: (counts[word], word), reverse=True)),
            "reverse turns the alphabet round as well. What is the opposite of a number?",
        ),
        Mistake(
            "the rarest words are kept",
            _frequent(lambda counts: sorted(counts, key=lambda word: (counts[word], word))),
            "sorted puts the smallest first.",
        ),
        Mistake(
            "the first words in the alphabet are kept, however frequent they are",
            _frequent(sorted),
            "What decides first: how often a word occurs, or how it is written?",
        ),
        Mistake(
            "the special tokens count as words, so there are four words too few",
            _frequent(cut=lambda words, limit: words[: max(limit - 4, 0)]),
            "limit is for words. The four special tokens come on top.",
        ),
        Mistake("the limit is not looked at", _frequent(cut=lambda words, limit: words), "A list can be cut: [:n]."),
        Mistake(
            "limit is taken for a count: words are kept that occur so often",
            lambda captions, limit=5_000: _frequent(order=lambda counts: [w for w in counts if counts[w] >= limit])(
                captions
            ),
            "In notebook 03 a word had to occur often enough. Here so many words are kept, however often they occur.",
        ),
        Mistake("the special tokens are missing", _frequent(number=sorted), "Four tokens stand in no caption."),
        Mistake(
            "UNK is missing",
            _frequent(number=lambda words: sorted({*words, PAD, START, END})),
            "Which index will a word get that is not among the most frequent ones?",
        ),
        Mistake(
            "the words are in the order of their frequency, and not sorted",
            _frequent(number=lambda words: [PAD, UNK, START, END, *words]),
            _NUMBERING,
        ),
        Mistake("the indices begin at 1", _frequent(start=1), "Places in the last layer are counted from 0."),
        Mistake(
            "it counts in how many captions a word stands, and not how often it occurs",
            _frequent(count=lambda captions: Counter(w for g in captions for c in g for w in set(split_sentence(c)))),
            "A set forgets that a word came twice.",
        ),
        Mistake(
            "capital letters and punctuation make words different",
            _frequent(count=lambda captions: Counter(_all_words(captions, str.split))),
            "split_sentence of notebook 03 was imported above.",
        ),
        Mistake(
            "letters are counted, and not words",
            _frequent(count=lambda captions: Counter(_all_words(captions, list))),
            "split_sentence of notebook 03 was imported above.",
        ),
        Mistake(
            "the result is a list of words, without their indices",
            lambda captions, limit=5_000: list(most_frequent_words(captions, limit)),
            "enumerate gives each word its place.",
        ),
    ),
    hints=(
        "Count all words with a Counter, sort them by how frequent they are, keep `limit` of them.",
        "sorted takes a key. With (-count, word), frequent words come first, and equals by the alphabet.",
        "Then as in notebook 03: add the special tokens, sort, number.",
    ),
)


# BahdanauAttention


def facts_of_attention(
    layer_class: Callable, hidden: np.ndarray, regions: np.ndarray, keys: np.ndarray, kernels: Sequence[np.ndarray]
) -> Facts:
    """Make a layer, give it the weights of W2 and V, and let it look once."""
    layer = layer_class(keys.shape[-1])
    layer.build(hidden.shape, regions.shape, keys.shape)
    layer.W2.kernel.assign(kernels[0])
    layer.V.kernel.assign(kernels[1])
    result = layer(*map(ops.convert_to_tensor, (hidden, regions, keys)))
    return _pair(result, "context", "weights")


def _pair(result: Any, first: str, second: str) -> Facts:
    """Two arrays under their names; the second first, since the first is made from it."""
    facts = Facts.fromkeys(("form", second, first))
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return Facts({**facts, "form": f"not {first} and {second}, but {short(result)}"})
    return Facts({"form": f"{first} and {second}", second: as_numpy(result[1]), first: as_numpy(result[0])})


def _attention_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(11)

    def case(name: str, batch: int, regions: int, size: int, units: int, state: int, scale: float = 1.0) -> Case:
        source = rng if name.startswith("random") else fixed
        shapes = ((batch, state), (batch, regions, size), (batch, regions, units))
        hidden, seen, keys = (draw_weights(shape, source) * np.float32(scale) for shape in shapes)
        kernels = [draw_weights((state, units), source), 3 * draw_weights((units, 1), source)]
        return Case(name, (hidden, seen, keys, kernels))

    return [
        case("one picture", 1, 3, 2, 4, 5),
        case("two pictures of four regions", 2, 4, 3, 5, 6),
        case("as many regions as pictures, sizes and units", 3, 3, 3, 3, 3),
        case("large numbers", 2, 3, 4, 5, 6, scale=20.0),
        case("random numbers", 3, 5, 4, 6, 2),
    ]


def _attention(
    join: Callable = lambda keys, query: ops.tanh(keys + query),
    query_of: Callable = lambda layer, hidden: layer.W2(hidden)[:, None],
    normalise: Callable = lambda scores: ops.softmax(scores, axis=1),
    look: Callable = lambda weights, regions, keys: ops.sum(weights * regions, axis=1),
    score: Callable = lambda layer, joined: layer.V(joined),
    arrange: Callable = lambda context, weights: (context, weights[..., 0]),
) -> type:
    """A `BahdanauAttention` in which one step is done in another way."""

    class Wrong(layers.Layer):
        def __init__(self, units: int = 512, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.W2, self.V = layers.Dense(units, use_bias=False), layers.Dense(1, use_bias=False)

        def build(self, hidden_shape: tuple, regions_shape: tuple, keys_shape: tuple) -> None:
            self.W2.build(hidden_shape)
            self.V.build(keys_shape)

        def call(self, hidden: Any, regions: Any, keys: Any, trace_shapes: bool = False) -> Any:
            scores = score(self, join(keys, query_of(self, hidden)))
            weights = normalise(scores)
            return arrange(look(weights, regions, keys), weights)

    return Wrong


_WHICH_AXIS = (
    "Scores are (batch, regions, 1). The weights of all regions of a picture sum to 1: along which axis is that?"
)
_MEAN = "The context is the mean of the regions by their weights: weigh each region, and sum over the regions."

_ATTENTION = Exercise(
    BahdanauAttention,
    NOTEBOOK,
    _attention_cases,
    mistakes=(
        Mistake(
            "the weights sum to 1 over the batch, and not over the regions of each picture",
            _attention(normalise=lambda scores: ops.softmax(scores, axis=0)),
            _WHICH_AXIS,
        ),
        Mistake(
            "the softmax goes over the last axis, which has one place only, so every weight is 1",
            _attention(normalise=lambda scores: ops.exp(scores - scores)),
            _WHICH_AXIS,
        ),
        Mistake(
            "the softmax is missing: scores are taken for weights",
            _attention(normalise=lambda scores: scores),
            "Weights are positive and sum to 1.",
        ),
        Mistake(
            "a sigmoid makes the weights, which then do not sum to 1",
            _attention(normalise=ops.sigmoid),
            "Weights are positive and sum to 1.",
        ),
        Mistake(
            "the query is forgotten: it looks at the same places whatever the decoder has in mind",
            _attention(lambda keys, query: ops.tanh(keys)),
            "The answer depends on what the decoder has in mind. Where does the hidden state come in?",
        ),
        Mistake(
            "the keys are forgotten: all regions get the same score",
            _attention(lambda keys, query: ops.tanh(query + 0 * keys)),
            "A region is weighed by what it shows. Where do the keys come in?",
        ),
        Mistake(
            "tanh is missing",
            _attention(lambda keys, query: keys + query),
            "Look at the formula of the score above. Without tanh the query adds the same to all scores.",
        ),
        Mistake(
            "keys and query are multiplied, and not added",
            _attention(lambda keys, query: ops.tanh(keys * query)),
            "Look at the formula of the score above.",
        ),
        Mistake(
            "tanh is taken of the score, and not inside of it",
            _attention(lambda keys, query: keys + query, score=lambda layer, joined: ops.tanh(layer.V(joined))),
            "Look at the formula of the score above: which comes first, V or tanh?",
        ),
        Mistake(
            "the query meets the wrong axis: a picture's state is added to the regions of other pictures",
            _attention(query_of=lambda layer, hidden: layer.W2(hidden)),
            "The query is (batch, units), the keys (batch, regions, units). The query needs an axis for the regions.",
        ),
        Mistake(
            "the context is not summed over the regions",
            _attention(look=lambda weights, regions, keys: weights * regions),
            _MEAN,
        ),
        Mistake(
            "the context is divided by the number of regions once more",
            _attention(look=lambda weights, regions, keys: ops.mean(weights * regions, axis=1)),
            "The weights sum to 1 already. Is anything left to divide by?",
        ),
        Mistake(
            "the context is summed over the features, and not over the regions",
            _attention(look=lambda weights, regions, keys: ops.sum(weights * regions, axis=2)),
            _MEAN,
        ),
        Mistake(
            "the context is the region with the largest weight alone",
            _attention(
                look=lambda weights, regions, keys: ops.take_along_axis(
                    regions, ops.argmax(weights, axis=1)[..., None], axis=1
                )[:, 0]
            ),
            "Taking the largest cannot be differentiated, so nothing could be learnt. " + _MEAN,
        ),
        Mistake(
            "all regions count the same: the weights are not used for the context",
            _attention(look=lambda weights, regions, keys: ops.mean(regions, axis=1)),
            _MEAN,
        ),
        Mistake(
            "the context is made of the keys, and not of the regions",
            _attention(look=lambda weights, regions, keys: ops.sum(weights * keys, axis=1)),
            "Keys say how well a region answers. What it shows stands in another argument.",
        ),
        Mistake(
            "the weights have an axis too many at their end",
            _attention(arrange=lambda context, weights: (context, weights)),
            "The docstring says (batch, regions). An axis of one place goes by an index.",
        ),
        Mistake(
            "context and weights have changed places",
            _attention(arrange=lambda context, weights: (weights[..., 0], context)),
            "The docstring says which comes first.",
        ),
        Mistake(
            "the context alone comes back",
            _attention(arrange=lambda context, weights: context),
            "To see where the model looks, the weights are needed, too.",
        ),
    ),
    hints=(
        "Four lines: query, scores, weights, context. The shapes in the docstring say what each must be.",
        "self.W2(hidden) is (batch, units). With [:, None] behind it, each region meets the same query.",
        "self.V makes one number of the units: scores are (batch, regions, 1).",
        "ops.softmax over the axis of the regions, then weights * regions summed over the same axis.",
    ),
    observe=facts_of_attention,
)


# AttentionCell


def facts_of_cell(
    cell_class: Callable,
    word: np.ndarray,
    hidden: np.ndarray,
    regions: np.ndarray,
    keys: np.ndarray,
    kernels: Sequence[np.ndarray],
) -> Facts:
    """Make a cell with the course's own attention, so that this exercise can be done first, and take one step."""
    cell = cell_class(hidden.shape[-1], keys.shape[-1])
    cell.attention = BahdanauAttention(keys.shape[-1])
    cell.build(word.shape, hidden.shape, regions.shape, keys.shape)
    for layer, numbers in ((cell.attention.W2, kernels[:1]), (cell.attention.V, kernels[1:2]), (cell.gru, kernels[2:])):
        layer.set_weights(numbers)
    result = cell(*map(ops.convert_to_tensor, (word, hidden, regions, keys)))
    return _pair(result, "new state", "weights")


def _cell_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(13)

    def case(name: str, batch: int, regions: int, size: int, units: int, state: int, word: int) -> Case:
        source = rng if name.startswith("random") else fixed
        shapes = ((batch, word), (batch, state), (batch, regions, size), (batch, regions, units))
        kernels = [(state, units), (units, 1), (size + word, 3 * state), (state, 3 * state), (2, 3 * state)]
        return Case(
            name,
            (*(draw_weights(shape, source) for shape in shapes), [draw_weights(shape, source) for shape in kernels]),
        )

    return [
        case("one picture", 1, 3, 2, 4, 5, 3),
        case("three pictures", 3, 4, 5, 3, 6, 2),
        case("state, word and region of the same size", 2, 3, 4, 4, 4, 4),
        case("random numbers", 2, 5, 3, 2, 4, 6),
    ]


def _cell(
    look: Callable = lambda cell, hidden, regions, keys: cell.attention(hidden, regions, keys),
    join: Callable = lambda context, word: ops.concatenate([context, word], axis=-1),
    update: Callable = lambda cell, joined, hidden: cell.gru(joined, [hidden])[0],
    arrange: Callable = lambda cell, new, weights, context: (new, weights),
) -> type:
    """An `AttentionCell` in which one step is done in another way."""

    class Wrong(layers.Layer):
        def __init__(self, units: int = 512, attention_units: int = 512, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.attention, self.gru = BahdanauAttention(attention_units), layers.GRUCell(units)

        def build(self, word_shape: tuple, hidden_shape: tuple, regions_shape: tuple, keys_shape: tuple) -> None:
            self.attention.build(hidden_shape, regions_shape, keys_shape)
            self.gru.build((*word_shape[:-1], regions_shape[-1] + word_shape[-1]))

        def call(self, word: Any, hidden: Any, regions: Any, keys: Any, trace_shapes: bool = False) -> Any:
            context, weights = look(self, hidden, regions, keys)
            return arrange(self, update(self, join(context, word), hidden), weights, context)

    return Wrong


_ATTENTION_CELL = Exercise(
    AttentionCell,
    NOTEBOOK,
    _cell_cases,
    mistakes=(
        Mistake(
            "the word stands before the context, and the GRU expects it behind",
            _cell(join=lambda context, word: ops.concatenate([word, context], axis=-1)),
            "The order is that of the text above: the context, and the word beside it.",
        ),
        Mistake(
            "the context is forgotten: the GRU reads zeros in its place",
            _cell(join=lambda context, word: ops.concatenate([0 * context, word], axis=-1)),
            "What was seen is put beside the word.",
        ),
        Mistake(
            "the word is forgotten: the GRU reads zeros in its place",
            _cell(join=lambda context, word: ops.concatenate([context, 0 * word], axis=-1)),
            "What was seen is put beside the word.",
        ),
        Mistake(
            "the GRU begins with zeros at every step, and forgets the words before",
            _cell(update=lambda cell, joined, hidden: cell.gru(joined, [0 * hidden])[0]),
            "The state so far comes in as an argument. A GRU cell takes a list of states.",
        ),
        Mistake(
            "the old state comes back, and not the new one",
            _cell(update=lambda cell, joined, hidden: hidden),
            "After a word the decoder has something else in mind.",
        ),
        Mistake(
            "it looks with a state of zeros, and not with what the decoder has in mind",
            _cell(look=lambda cell, hidden, regions, keys: cell.attention(0 * hidden, regions, keys)),
            "What does attention get as its first argument?",
        ),
        Mistake(
            "the context comes back, and not the new state",
            _cell(arrange=lambda cell, new, weights, context: (context, weights)),
            "The next word is predicted from the GRU's state.",
        ),
        Mistake(
            "the new state is in a list",
            _cell(arrange=lambda cell, new, weights, context: ([new], weights)),
            "A GRU cell gives back its output and a list of states. The two hold the same.",
        ),
        Mistake(
            "the context comes back in the place of the weights",
            _cell(arrange=lambda cell, new, weights, context: (new, context)),
            "Attention gives back two things. Which of them are the weights?",
        ),
        Mistake(
            "state and weights have changed places",
            _cell(arrange=lambda cell, new, weights, context: (weights, new)),
            "The docstring says which comes first.",
        ),
        Mistake(
            "the new state alone comes back",
            _cell(arrange=lambda cell, new, weights, context: new),
            "To see where the model looks, the weights are needed, too.",
        ),
    ),
    hints=(
        "Three lines: look, join, update.",
        "self.attention(hidden, regions, keys) gives the context and the weights.",
        "ops.concatenate puts arrays beside each other along an axis; here it is the last.",
        "self.gru(joined, [hidden]) gives its output and a list with the new state.",
    ),
    observe=facts_of_cell,
)


# predict_step_by_step


def toy_model(rng: np.random.Generator) -> keras.Model:
    """A model with attention over three regions, and random weights that make it opinionated."""
    model = build_visual_attention(7, regions=3, feature_size=4, embedding_size=5, units=6, attention_units=4)
    model.set_weights([draw_weights(w.shape, rng) if w.ndim > 1 else w for w in model.get_weights()])
    return model


def facts_of_loop(function: Callable, model: keras.Model, features: np.ndarray, words: np.ndarray) -> Facts:
    """Logits and weights of every step."""
    return _pair(function(model, features, words), "logits", "weights")


def _loop_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    named = (("one picture, one word", 1, 1), ("two pictures, four words", 2, 4), ("random words", 3, 5))
    for name, batch, steps in named:
        source = rng if name.startswith("random") else np.random.default_rng(17)
        words = source.integers(7, size=(batch, steps)).astype(np.int32)
        cases.append(Case(name, (toy_model(source), draw_weights((batch, 3, 4), source), words)))
    return cases


def _loop(
    start: Callable = lambda regions, units: empty_state(regions, units),
    reads: Callable = lambda words, step, said: words[:, step],
    carry: Callable = lambda old, new: new,
    predict: Callable = lambda model, hidden: model.get_layer("logits")(model.get_layer("before_logits")(hidden)),
    stack: Callable = lambda parts: np.stack(parts, axis=1),
    steps: Callable = lambda words: words.shape[1],
    arrange: Callable = lambda logits, weights: (logits, weights),
) -> Callable:
    """A `predict_step_by_step` in which one step is done in another way."""

    def wrong(model: keras.Model, features: np.ndarray, words: np.ndarray, trace_shapes: bool = False) -> Any:
        cell = model.get_layer("decoder").cell
        regions = model.get_layer("encoder")(ops.convert_to_tensor(features, "float32"))
        keys, hidden, said, found = model.get_layer("W1")(regions), start(regions, cell.units), words[:, 0], []
        for step in range(steps(words)):
            word = model.get_layer("word_embedding")(reads(words, step, said))
            new, weights = cell(word, hidden, regions, keys)
            hidden = carry(hidden, new)
            logits = as_numpy(predict(model, new))
            said = logits.argmax(axis=-1).astype(np.int32)
            found.append((logits, as_numpy(weights)))
        return arrange(*(stack(parts) for parts in zip(*found, strict=True)))

    return wrong


_LOOP = Exercise(
    predict_step_by_step,
    NOTEBOOK,
    _loop_cases,
    mistakes=(
        Mistake(
            "it reads what it said itself, and not the true words",
            _loop(reads=lambda words, step, said: said),
            "Teacher forcing: the step reads the true word, whatever the model would have said.",
        ),
        Mistake(
            "the first word is read at every step",
            _loop(reads=lambda words, step, said: words[:, 0]),
            "Which column of the words belongs to a step?",
        ),
        Mistake(
            "the state is not carried on: every step begins with zeros",
            _loop(carry=lambda old, new: old),
            "The cell gives back a new state. Who hands it to the next step?",
        ),
        Mistake(
            "the first state is not zero",
            _loop(start=lambda regions, units: empty_state(regions, units) + 1),
            "empty_state was imported above.",
        ),
        Mistake(
            "steps come first, and not pictures",
            _loop(stack=np.stack),
            "The docstring says (batch, steps, ...). np.stack takes an axis.",
        ),
        Mistake(
            "only the last step comes back",
            _loop(stack=lambda parts: parts[-1]),
            "Keep the logits and the weights of every step in a list.",
        ),
        Mistake(
            "probabilities come back, where logits are wanted",
            _loop(
                predict=lambda model, hidden: ops.softmax(
                    model.get_layer("logits")(model.get_layer("before_logits")(hidden))
                )
            ),
            "The last layer gives logits. Leave them as they are.",
        ),
        Mistake(
            "the last word is not read",
            _loop(steps=lambda words: max(1, words.shape[1] - 1)),
            "There is a step for each column of the words.",
        ),
        Mistake(
            "logits and weights have changed places",
            _loop(arrange=lambda logits, weights: (weights, logits)),
            "The docstring says which comes first.",
        ),
        Mistake(
            "the logits alone come back",
            _loop(arrange=lambda logits, weights: logits),
            "The docstring promises two things.",
        ),
    ),
    hints=(
        "Before the loop: regions by the layer encoder, keys by the layer W1, and the empty state.",
        "model.get_layer('decoder').cell is an AttentionCell. It takes a word's embedding, state, regions and keys.",
        "The logits come from the new state by two layers, before_logits and logits.",
        "Collect both in lists, and stack them along axis 1. ops.convert_to_numpy makes arrays of tensors.",
    ),
    observe=facts_of_loop,
    tolerance=1e-4,
)


# with_even_attention


def facts_of_even_model(function: Callable, model: keras.Model, features: np.ndarray, words: np.ndarray) -> Facts:
    """Make a copy with even attention; what both models say, and whether the first one is as before."""
    before = model.get_weights()
    copy = function(model)
    unchanged = all(np.array_equal(old, new) for old, new in zip(before, model.get_weights(), strict=True))
    model.set_weights(before)
    facts = Facts.fromkeys(("form", *_EVEN_FACTS, "logits"))
    facts["form"] = "a model" if isinstance(copy, keras.Model) else f"no model, but {short(copy)}"
    if not isinstance(copy, keras.Model):
        return facts
    kept = all(np.array_equal(*(_weights_of(m, name) for m in (copy, model))) for name in ("word_embedding", "logits"))
    facts |= dict(zip(_EVEN_FACTS, (unchanged, copy is not model, kept), strict=True))
    if all(facts[name] for name in _EVEN_FACTS):
        facts["logits"] = as_numpy(copy([features, words], training=False))
    return facts


_EVEN_FACTS = ("the given model is as it was", "the copy is a model of its own", "the copy has the trained weights")


def _weights_of(model: keras.Model, layer: str) -> np.ndarray:
    return model.get_layer(layer).get_weights()[0]


def _even_cases(rng: np.random.Generator) -> list[Case]:
    return _loop_cases(rng)[1:]


def _copied(model: keras.Model, with_weights: bool = True) -> keras.Model:
    copy = keras.models.clone_model(keras.Model(model.inputs, model.outputs[0], name=model.name))
    if with_weights:
        copy.set_weights(model.get_weights())
    return copy


def _changed_attention(change: Callable, copy: Callable = _copied) -> Callable:
    """A `with_even_attention` that changes other weights, or another model."""

    def wrong(model: keras.Model) -> keras.Model:
        other = copy(model)
        change(other)
        return other

    return wrong


def _silence(model: keras.Model) -> None:
    kernel = model.get_layer("decoder").cell.attention.V.kernel
    kernel.assign(ops.zeros(kernel.shape))


def _even_by_ones(model: keras.Model) -> None:
    kernel = model.get_layer("decoder").cell.attention.V.kernel
    kernel.assign(ops.ones(kernel.shape))


def _silence_query(model: keras.Model) -> None:
    kernel = model.get_layer("decoder").cell.attention.W2.kernel
    kernel.assign(ops.zeros(kernel.shape))


def _blind(model: keras.Model) -> None:
    layer = model.get_layer("encoder")
    layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])


_EVEN = Exercise(
    with_even_attention,
    NOTEBOOK,
    _even_cases,
    mistakes=(
        Mistake(
            "the given model is changed: it has even attention from now on as well",
            _changed_attention(_silence, copy=lambda model: model),
            "Two names for one model are no copy. keras.models.clone_model makes one.",
        ),
        Mistake(
            "the copy has new, untrained weights",
            _changed_attention(_silence, copy=lambda model: _copied(model, with_weights=False)),
            "clone_model copies the layers, and not what they have learnt. A model gives and takes weights as a list.",
        ),
        Mistake(
            "V is filled with ones, which is not the same for all regions",
            _changed_attention(_even_by_ones),
            "score = V tanh(...). For which V is the score the same, whatever the tanh says?",
        ),
        Mistake(
            "W2 is zero: the model no longer knows what it is looking for, but still looks at some places more",
            _changed_attention(_silence_query),
            "score = V tanh(W1 region + W2 hidden). Without W2, do all regions have the same score?",
        ),
        Mistake(
            "the encoder is zero: the model sees nothing at all, instead of everything alike",
            _changed_attention(_blind),
            "Only the weights of attention should be even. The mean of the regions must still tell of the picture.",
        ),
        Mistake(
            "the copy looks as it always did",
            _changed_attention(lambda model: None),
            "Softmax of equal scores gives equal weights. Which small layer makes the scores?",
        ),
        Mistake("nothing comes back", lambda model: None, "The copy is what the caller wants."),
    ),
    hints=(
        "Softmax of equal scores gives equal weights. For which V is the score of every region the same?",
        "keras.models.clone_model copies a model without its weights; get_weights and set_weights bring them over.",
        "copy.get_layer('decoder').cell.attention.V.kernel is a variable; it has a method assign.",
    ),
    observe=facts_of_even_model,
    tolerance=1e-4,
)


EXERCISES = (_MOST_FREQUENT, _ATTENTION, _ATTENTION_CELL, _LOOP, _EVEN)
"""In the order of the notebook."""
