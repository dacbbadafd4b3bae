"""The exercises of notebook 05: one word at a time, ways of choosing words, beam search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from say_what_you_see.core.backend import keras
from say_what_you_see.decoding.beam_search import Beams, extend_beams, first_beams
from say_what_you_see.decoding.probabilities import apply_temperature, keep_top_p, log_softmax
from say_what_you_see.decoding.samplers import BeamSearch, SpecialTokens, write_captions
from say_what_you_see.exercises.cases import Case, Exercise, Mistake
from say_what_you_see.exercises.compare import short
from say_what_you_see.exercises.facts import Facts
from say_what_you_see.exercises.tensors import as_numpy, draw_weights
from say_what_you_see.models.bottleneck_lstm import build_decoder, decoder_step_model
from say_what_you_see.models.keras_step import KerasStepModel
from say_what_you_see.models.step import State

NOTEBOOK = "05_generate_captions"

layers, ops = keras.layers, keras.ops


# rearrange_decoder


def toy_decoder(rng: np.random.Generator, vocab_size: int = 8, features: int = 4) -> keras.Model:
    """A decoder with random weights, so large that its predictions differ clearly."""
    decoder = build_decoder(vocab_size, features, 3, 4, 5, 5)
    decoder.set_weights([draw_weights(w.shape, rng) if w.ndim > 1 else w for w in decoder.get_weights()])
    decoder.get_layer("standardise").adapt(rng.normal(2, 3, (20, features)).astype(np.float32))
    return decoder


def facts_of_steps(function: Callable, decoder: keras.Model, features: np.ndarray, words: np.ndarray) -> Facts:
    """Rearrange a decoder and let it read words (pictures, steps) one by one."""
    model = function(decoder)
    facts = Facts.fromkeys(("form", *_STEP_FACTS, "logits"))
    facts["form"] = f"a {type(model).__name__}"
    if not isinstance(model, KerasStepModel):
        return facts
    trained = {id(weight) for weight in decoder.weights}
    own = [*model.start_model.weights, *model.step_model.weights]
    state, step = model.start_model.outputs, model.step_model
    values = (
        [_shape(tensor) for tensor in model.start_model.inputs],
        [_shape(tensor) for tensor in state],
        [_shape(tensor) for tensor in step.outputs],
        all(id(weight) in trained for weight in own),
    )
    facts |= dict(zip(_STEP_FACTS, values, strict=True))
    if len(model.start_model.inputs) == 1 and len(step.inputs) == len(state) + 1 == len(step.outputs) and values[-1]:
        started = model.start_model(ops.convert_to_tensor(features))
        facts["logits"] = _read_words(model, list(started) if isinstance(started, (list, tuple)) else [started], words)
    return facts


_STEP_FACTS = (
    "what goes into the start model",
    "what comes out of the start model",
    "what comes out of the step model",
    "all layers are the trained ones",
)


def _shape(tensor: Any) -> tuple:
    return tuple(tensor.shape)


def _read_words(model: KerasStepModel, state: list, words: np.ndarray) -> list[np.ndarray]:
    """The logits after each word."""
    found = []
    for column in words.T:
        logits, *state = model.step_model([ops.convert_to_tensor(column), *state])
        found.append(as_numpy(logits))
    return found


def _rearranging_cases(rng: np.random.Generator) -> list[Case]:
    cases = []
    for name, source in (("three words about two pictures", np.random.default_rng(3)), ("random words", rng)):
        features = source.normal(2, 3, (2, 4)).astype(np.float32)
        words = source.integers(8, size=(2, 3)).astype(np.int32)
        cases.append(Case(name, (toy_decoder(source), features, words)))
    return cases


def _rearranged(
    start: Callable = lambda decoder, state: keras.Model(decoder.inputs[0], [state, state]),
    read: Callable = lambda lstm, word, h, c: lstm.cell(word, [h, c]),
    logits_of: Callable = lambda decoder, hidden, c: decoder.get_layer("logits")(
        decoder.get_layer("logit_bottleneck")(hidden)
    ),
    outputs: Callable = lambda logits, old, new: [logits, *new],
    arrange: Callable = KerasStepModel,
) -> Callable:
    """A `decoder_step_model` in which one step is done in another way."""

    def wrong(decoder: keras.Model) -> Any:
        lstm, state = decoder.get_layer("lstm"), decoder.get_layer("initial_state").output
        word = layers.Input((), dtype="int32")
        h, c = layers.Input((lstm.units,)), layers.Input((lstm.units,))
        hidden, new = read(lstm, decoder.get_layer("word_embedding")(word), h, c)
        logits = logits_of(decoder, hidden, new[1])
        return arrange(start(decoder, state), keras.Model([word, h, c], outputs(logits, [h, c], new)))

    return wrong


def _unstandardised_start(decoder: keras.Model, state: Any) -> keras.Model:
    image = layers.Input(decoder.inputs[0].shape[1:])
    state = decoder.get_layer("initial_state")(decoder.get_layer("image_bottleneck")(image))
    return keras.Model(image, [state, state])


def _fresh_logits(decoder: keras.Model, hidden: Any, c: Any) -> Any:
    squeezed = layers.Dense(decoder.get_layer("logit_bottleneck").units, activation="elu")(hidden)
    return layers.Dense(decoder.get_layer("logits").units)(squeezed)


_H_AND_C = "The cell takes [h, c] and gives back its output and the new [h, c]. Follow each of the two through a step."

_REARRANGE = Exercise(
    decoder_step_model,
    NOTEBOOK,
    _rearranging_cases,
    mistakes=(
        Mistake(
            "probabilities come out, where logits are wanted",
            _rearranged(
                logits_of=lambda decoder, hidden, c: ops.softmax(
                    decoder.get_layer("logits")(decoder.get_layer("logit_bottleneck")(hidden))
                )
            ),
            "KerasStepModel makes probabilities of the logits. What happens to them if that is done twice?",
        ),
        Mistake(
            "the state is not handed on: what comes out is what went in",
            _rearranged(outputs=lambda logits, old, new: [logits, *old]),
            "After a word the LSTM remembers something else than before. Which h and c should the next step get?",
        ),
        Mistake(
            "the new state does not come out",
            _rearranged(outputs=lambda logits, old, new: [logits]),
            "The next step needs what the LSTM remembers after this one. Nobody else keeps it.",
        ),
        Mistake(
            "h and c change places",
            _rearranged(read=lambda lstm, word, h, c: lstm.cell(word, [c, h])),
            _H_AND_C,
        ),
        Mistake(
            "the logits are made from c, and not from the LSTM's output",
            _rearranged(
                logits_of=lambda decoder, hidden, c: decoder.get_layer("logits")(
                    decoder.get_layer("logit_bottleneck")(c)
                )
            ),
            _H_AND_C,
        ),
        Mistake(
            "the first state is zero, so the picture is lost",
            _rearranged(
                start=lambda decoder, state: keras.Model(
                    decoder.inputs[0], [ops.zeros_like(state), ops.zeros_like(state)]
                )
            ),
            "The decoder of notebook 04 makes its first state from the picture. Which of its layers gives it?",
        ),
        Mistake(
            "the embeddings are not standardised before they go into the bottleneck",
            _rearranged(start=_unstandardised_start),
            "A layer knows its output: decoder.get_layer(name).output. keras.Model finds the whole way to it.",
        ),
        Mistake(
            "the start model wants the words, too",
            _rearranged(start=lambda decoder, state: keras.Model(decoder.inputs, [state, state])),
            "Before the first word there is only the picture. Which of decoder.inputs is that?",
        ),
        Mistake(
            "the start model gives the state once, and the LSTM has two",
            _rearranged(start=lambda decoder, state: keras.Model(decoder.inputs[0], [state])),
            "h and c both begin with it.",
        ),
        Mistake(
            "some layers are new and have never been trained",
            _rearranged(logits_of=_fresh_logits),
            "decoder.get_layer gives a trained layer by its name; calling it uses its weights.",
        ),
        Mistake(
            "the bottleneck before the logits is left out",
            _rearranged(logits_of=lambda decoder, hidden, c: decoder.get_layer("logits")(hidden)),
            "Look at build_decoder: what stands between the LSTM and the logits?",
        ),
        Mistake(
            "two models come back, and not a KerasStepModel",
            _rearranged(arrange=lambda start, step: (start, step)),
            "KerasStepModel was imported above. Give both of them to it.",
        ),
    ),
    hints=(
        "Two models: one from the picture to the first [h, c], one from [word, h, c] to [logits, new h, new c].",
        "The first is short: decoder.inputs[0] goes in, the output of the layer initial_state comes out, twice.",
        "For the second make new inputs: a word, layers.Input((), dtype='int32'), and h and c of lstm.units numbers.",
        "lstm.cell(word_vector, [h, c]) takes one step. What comes before and after it stands in build_decoder.",
    ),
    observe=facts_of_steps,
)


# write_captions


def facts_of_writing(
    function: Callable,
    logits: np.ndarray,
    state: np.ndarray,
    tokens: SpecialTokens,
    max_len: int,
    draws_second: bool = False,
) -> Facts:
    """Let a function write with a model that is a table of logits (last word, next word), shifted by a state.

    Args:
        logits: (vocabulary, vocabulary).
        state: (rows, vocabulary), which moves on by one place with each word.
        draws_second: choose the second most probable word at every even position.
    """

    def next_word(words: Any, state: State) -> tuple[np.ndarray, State]:
        scores = logits[as_numpy(words)] + state.memory[0]
        return log_softmax(scores), State([np.roll(state.memory[0], 1, axis=1)])

    def choose(log_probs: Any, captions: Any, position: int) -> np.ndarray:
        ranks = (position + 1 + as_numpy(captions)) % 2 if draws_second else np.zeros(len(log_probs), dtype=int)
        return np.argsort(-as_numpy(log_probs), axis=-1)[np.arange(len(log_probs)), ranks]

    written = function(next_word, State([state]), choose, tokens, max_len)
    facts = Facts.fromkeys(("form", "captions", "log-probabilities", "reached END"))
    facts["form"] = "three arrays"
    if not isinstance(written, (tuple, list)) or len(written) != 3:
        return Facts({**facts, "form": f"not three arrays, but {short(written)}"})
    captions, total, finished = map(as_numpy, written)
    return Facts({**facts, "captions": captions, "log-probabilities": total, "reached END": finished})


def _writing_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(5)

    def case(name: str, rows: int, max_len: int, ends: Sequence[float], tokens: Sequence[int] = (1, 2), **keywords):
        source = rng if name.startswith("random") else fixed
        logits = source.normal(0, 2, (7, 7)).astype(np.float32)
        state = source.normal(0, 2, (rows, 7)).astype(np.float32)
        logits[:, tokens[1]] = np.array(ends, dtype=np.float32)  # how much the model wants to stop, by the last word
        return Case(name, (logits, state, SpecialTokens(*tokens, (0,)), max_len), keywords)

    middling = np.linspace(-1, 5, 7)
    return [
        case("one caption, which is cut", 1, 3, [-9] * 7),
        case("captions that all stop after a word", 2, 4, [9] * 7),
        case("captions that stop at different places", 4, 6, middling),
        case("START is 4 and END is 3", 4, 5, middling[::-1], (4, 3)),
        case("another choice than the most probable word", 4, 5, middling, draws_second=True),
        *(case(f"random captions, number {n}", 5, 6, rng.normal(2, 2, 7), draws_second=n == 2) for n in (1, 2)),
    ]


def _gain_of_running(log_probs: np.ndarray, chosen: np.ndarray, running: np.ndarray, end: int) -> np.ndarray:
    return np.where(running, log_probs[np.arange(len(chosen)), chosen], 0.0)


def _gain_of_all(log_probs: np.ndarray, chosen: np.ndarray, running: np.ndarray, end: int) -> np.ndarray:
    return log_probs[np.arange(len(chosen)), chosen]


def _gain_without_end(log_probs: np.ndarray, chosen: np.ndarray, running: np.ndarray, end: int) -> np.ndarray:
    return np.where(chosen != end, _gain_of_running(log_probs, chosen, running, end), 0.0)


def _gain_of_best(log_probs: np.ndarray, chosen: np.ndarray, running: np.ndarray, end: int) -> np.ndarray:
    return np.where(running, log_probs.max(axis=1), 0.0)


def _writer(
    feeds: bool = True,
    hands_on: bool = True,
    stops: bool = True,
    gain: Callable = _gain_of_running,
    goes_on: Callable = np.any,
    choose_by: Callable = lambda choose, log_probs, captions, position: choose(log_probs, captions, position),
    filled_with: Callable = lambda tokens: tokens.end,
    shorter: int = 0,
    begins_with_start: bool = False,
    finish: Callable = lambda captions, total, running: (captions, total, ~running),
) -> Callable:
    """A `write_captions` in which one step is done in another way."""

    def wrong(next_word: Callable, state: State, choose: Callable, tokens: SpecialTokens, max_len: int) -> tuple:
        words = np.full(len(state), tokens.start)
        captions = np.full((len(words), max_len), filled_with(tokens))
        running, total, position = words != tokens.end, np.zeros(len(words), np.float32), 0
        if begins_with_start:
            captions[:, 0] = tokens.start
        while position + begins_with_start < max_len - shorter and goes_on(running):
            log_probs, new_state = next_word(words, state)
            log_probs, state = np.asarray(log_probs), new_state if hands_on else state
            chosen = np.asarray(choose_by(choose, log_probs, np.arange(len(words)), position))
            chosen = np.where(running, chosen, tokens.end) if stops else chosen
            total = total + gain(log_probs, chosen, running, tokens.end)
            captions[:, position + begins_with_start] = chosen
            running = running & (chosen != tokens.end)
            words, position = chosen if feeds else words, position + 1
        return finish(captions, total, running)

    return wrong


def _never_looks_for_end(next_word: Callable, state: State, choose: Callable, tokens: SpecialTokens, max_len: int):
    everlasting = tokens._replace(end=-1)
    captions, total, _ = _writer()(next_word, state, choose, everlasting, max_len)
    return captions, total, captions[:, -1] == tokens.end


_LOGARITHMS = (
    "The probability of a caption is the product of its words' probabilities. What becomes of a product in logs?"
)

_WRITE = Exercise(
    write_captions,
    NOTEBOOK,
    _writing_cases,
    mistakes=(
        Mistake(
            "END is not looked for: every caption goes on until it has max_len words",
            _never_looks_for_end,
            "In a batch some captions have stopped while others go on. Keep an array that says which are running.",
        ),
        Mistake(
            "it goes on after END: a caption that has stopped gets more words",
            _writer(stops=False, gain=_gain_of_running),
            "In a batch some captions have stopped while others go on. Keep an array that says which are running.",
        ),
        Mistake(
            "it goes on after END, and counts what is said there",
            _writer(stops=False, gain=_gain_of_all),
            "In a batch some captions have stopped while others go on. Keep an array that says which are running.",
        ),
        Mistake(
            "it stops as soon as one caption has reached END, and cuts the others",
            _writer(goes_on=np.all),
            "When may the loop end: when any caption has reached END, or when all have?",
        ),
        Mistake(
            "END is counted again and again after a caption has stopped",
            _writer(gain=_gain_of_all),
            "What does END cost the first time, and what the second?",
        ),
        Mistake(
            "the log-probability of END is left out",
            _writer(gain=_gain_without_end),
            "To stop is a choice like any word. Without it, a caption that was cut looks as good as one that ended.",
        ),
        Mistake(
            "the log-probability of the most probable word is added, whichever was chosen",
            _writer(gain=_gain_of_best),
            "choose may take another word than the most probable one. Whose log-probability counts?",
        ),
        Mistake(
            "probabilities come back, and not their logarithms",
            _writer(finish=lambda captions, total, running: (captions, np.exp(total), ~running)),
            _LOGARITHMS,
        ),
        Mistake(
            "log-probabilities are averaged over the words, and not added",
            _writer(
                finish=lambda captions, total, running: (captions, total / np.float32(captions.shape[1]), ~running)
            ),
            _LOGARITHMS,
        ),
        Mistake(
            "START is fed at every step, so the model never learns what was said",
            _writer(feeds=False),
            "The word that was chosen is what the model reads next.",
        ),
        Mistake(
            "the state is not handed on: every step begins with the first one",
            _writer(hands_on=False),
            "next_word gives back two things. What is the second one for?",
        ),
        Mistake(
            "choose is not used: always the most probable word is taken",
            _writer(choose_by=lambda choose, log_probs, captions, position: log_probs.argmax(axis=-1)),
            "How a word is chosen is left open. Who decides it?",
        ),
        Mistake(
            "choose always hears that it is at position 0",
            _writer(choose_by=lambda choose, log_probs, captions, position: choose(log_probs, captions, 0)),
            "Sampling has a random number for each position. What is the third argument of choose?",
        ),
        Mistake(
            "positions are counted from 1",
            _writer(choose_by=lambda choose, log_probs, captions, position: choose(log_probs, captions, position + 1)),
            "The first word stands at position 0.",
        ),
        Mistake(
            "captions begin with START",
            _writer(begins_with_start=True),
            "START is fed to the model. Is it a word that the model has said?",
        ),
        Mistake(
            "the loop stops a word too early",
            _writer(shorter=1),
            "How many words may a caption have, and at which position is the last of them?",
        ),
        Mistake(
            "behind END there is PAD, and not END",
            _writer(filled_with=lambda tokens: 0),
            "The docstring says what stands after the last word. Fill the captions with it before the loop begins.",
        ),
        Mistake(
            "it says which captions were cut, and not which have reached END",
            _writer(finish=lambda captions, total, running: (captions, total, running)),
            "The third result is the opposite of still running.",
        ),
        Mistake(
            "the captions alone come back",
            _writer(finish=lambda captions, total, running: captions),
            "The docstring promises three things.",
        ),
    ),
    hints=(
        "Begin with a word START for each row, captions full of END, a total of 0, and all rows running.",
        "One step: next_word, choose, add the log-probability of the chosen word, write it into its column.",
        "For rows that have stopped, the chosen word becomes END and nothing is added: np.where(running, ..., ...).",
        "A row runs on as long as its word is not END. The loop ends when none runs, or after max_len words.",
        "Shorter: leave rows that have stopped out of the batch, with state.take(running), and keep their numbers.",
    ),
    observe=facts_of_writing,
    tolerance=1e-4,
)


# apply_temperature


def tempered(function: Callable, probabilities: np.ndarray, t: float) -> Any:
    """The new probabilities, whatever library made them."""
    return as_numpy(function(probabilities, t))


def _distributions(rng: np.random.Generator, rows: int, words: int) -> np.ndarray:
    return rng.dirichlet(np.ones(words), size=rows).astype(np.float32)


def _random_distributions(rng: np.random.Generator, rows: int, low: float, high: float) -> list[Case]:
    """Distributions over seven words, with a random number between `low` and `high`."""
    return [
        Case(f"random probabilities, number {number}", (_distributions(rng, rows, 7), float(rng.uniform(low, high))))
        for number in (1, 2, 3)
    ]


def _temperature_cases(rng: np.random.Generator) -> list[Case]:
    three = np.array([0.5, 0.4, 0.1], dtype=np.float32)
    two_rows = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=np.float32)
    return [
        Case("t = 1, which changes nothing", (three, 1)),
        Case("t = 0.5, which sharpens", (three, 0.5)),
        Case("t = 2, which flattens", (three, 2.0)),
        Case("two rows at once", (two_rows, 0.7)),
        Case("a word that is impossible", (np.array([0.75, 0.25, 0.0], dtype=np.float32), 3.0)),
        Case("t = 0.001, nearly greedy", (three, 0.001)),
        Case("t = 0", (three, 0)),
        Case("t is negative", (three, -1.0)),
        *_random_distributions(rng, 3, 0.2, 3.0),
    ]


def _temperature(scale: Callable, normalise: Callable | None = None, refuses: bool = True) -> Callable:
    """An `apply_temperature` in which one step is done in another way."""

    def wrong(probabilities: np.ndarray, t: float) -> np.ndarray:
        if refuses and not t > 0:
            raise ValueError("temperature")
        scaled = scale(np.asarray(probabilities), t)
        return normalise(scaled) if normalise else scaled / scaled.sum(axis=-1, keepdims=True)

    return wrong


def _softmax(values: np.ndarray, axis: int = -1) -> np.ndarray:
    powers = np.exp(values - values.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


def _unrefused(probabilities: np.ndarray, t: float) -> np.ndarray:
    logs = np.log(np.asarray(probabilities))
    with np.errstate(all="ignore"):
        return _softmax((logs - logs.max(axis=-1, keepdims=True)) / np.float32(t))


def _unrefused_zero(probabilities: np.ndarray, t: float) -> np.ndarray:
    if t == 0:
        raise ZeroDivisionError
    return _unrefused(probabilities, t)


_DIVIDE = (
    "Try t = 0.5 by hand: p ** 2 makes large probabilities larger. In logarithms a power is a factor. "
    "Which factor belongs to p ** (1 / t)?"
)
_REFUSE = "The docstring promises an error for a t that is not greater than 0. What would 1 / 0 be?"

_TEMPERATURE = Exercise(
    apply_temperature,
    NOTEBOOK,
    _temperature_cases,
    mistakes=(
        Mistake(
            "multiplied by the temperature, where dividing is right: hot and cold have changed places",
            _temperature(lambda p, t: np.log(p) * np.float32(t), _softmax),
            _DIVIDE,
        ),
        Mistake(
            "the probabilities are divided by the temperature, and not their logarithms",
            _temperature(lambda p, t: p / np.float32(t), _softmax),
            "A softmax takes e to the power of what it gets. What must it get, so that p comes out at t = 1?",
        ),
        Mistake(
            "the temperature changes nothing",
            _temperature(lambda p, t: p),
            "A factor that all words share is lost again when they are scaled to sum to 1. t has to be in a power.",
        ),
        Mistake(
            "the new probabilities do not sum to 1",
            _temperature(lambda p, t: p ** np.float32(1 / t), lambda scaled: scaled),
            "After the power, what is the sum of a row, and what should it be?",
        ),
        Mistake(
            "all rows together sum to 1, and not each of them",
            _temperature(lambda p, t: p ** np.float32(1 / t), lambda scaled: scaled / scaled.sum()),
            "Each row is a distribution of its own. sum takes an axis, and keepdims.",
        ),
        Mistake(
            "the softmax goes over the rows, and not over the words of each row",
            _temperature(lambda p, t: np.log(p) / np.float32(t), lambda logs: _softmax(logs, axis=0)),
            "Probabilities are (..., words). Which axis has to sum to 1?",
        ),
        Mistake(
            "at a low temperature the powers are too small for a float, and 0 / 0 comes out",
            _temperature(lambda p, t: p ** np.float32(1 / t)),
            "0.5 ** 1000 is 0 to a 32-bit float. Logarithms do not become too small: log p / t, then a softmax.",
        ),
        Mistake(
            "at a low temperature the powers are too small for a float, and 0 / 0 comes out; t = 0 is not refused",
            _temperature(lambda p, t: p ** np.float32(1 / t), refuses=False),
            _REFUSE,
        ),
        Mistake(
            "something small is added to the probabilities, and impossible words become possible",
            _temperature(lambda p, t: np.log(p + np.float32(1e-9)) / np.float32(t), _softmax),
            "The logarithm of 0 is minus infinity, and a softmax turns it into 0 again. Nothing needs to be added.",
        ),
        Mistake(
            "something small is added to the probabilities, and impossible words become possible (1e-7)",
            _temperature(lambda p, t: np.log(p + np.float32(1e-7)) / np.float32(t), _softmax),
            "The logarithm of 0 is minus infinity, and a softmax turns it into 0 again. Nothing needs to be added.",
        ),
        Mistake("t = 0 and negative temperatures are not refused", _unrefused, _REFUSE),
        Mistake("t = 0 and negative temperatures are not refused as promised", _unrefused_zero, _REFUSE),
        Mistake(
            "the logarithms come back, and not the probabilities",
            _temperature(
                lambda p, t: np.log(p) / np.float32(t), lambda logs: np.log(np.maximum(_softmax(logs), 1e-45))
            ),
            "A distribution went in, and a distribution should come out.",
        ),
    ),
    hints=(
        "First refuse a t that is not greater than 0: raise ValueError.",
        "p ** (1 / t) is the same as e to the power of (log p) / t.",
        "A softmax does both, the power of e and the scaling to a sum of 1. It takes an axis.",
    ),
    observe=tempered,
)


# keep_top_p


def kept(function: Callable, probabilities: np.ndarray, p: float) -> Any:
    """The probabilities that are left, whatever library made them."""
    return as_numpy(function(probabilities, p))


def _top_p_cases(rng: np.random.Generator) -> list[Case]:
    four = np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32)
    rows = np.array([[0.1, 0.65, 0.25], [0.3, 0.25, 0.45]], dtype=np.float32)
    halves = np.array([0.125, 0.5, 0.25, 0.0625, 0.0625], dtype=np.float32)
    return [
        Case("the most probable word is enough", (four, 0.3)),
        Case("a word that crosses p", (four, 0.6)),
        Case("words that are not sorted, in two rows", (rows, 0.6)),
        Case("words that have exactly p together", (halves, 0.75)),
        Case("p = 1, which keeps all", (halves, 1.0)),
        *_random_distributions(rng, 4, 0.2, 0.9),
    ]


def _top_p(
    keep: Callable, rising: bool = False, axis: int = -1, finish: Callable = lambda left, order: left
) -> Callable:
    """A `keep_top_p` in which one step is done in another way: `keep` says, of sorted probabilities, which stay."""

    def wrong(probabilities: np.ndarray, p: float) -> np.ndarray:
        values = np.asarray(probabilities)
        order = np.argsort(values if rising else -values, axis=axis)
        falling = np.take_along_axis(values, order, axis=axis)
        stays = np.empty(values.shape, dtype=bool)
        np.put_along_axis(stays, order, keep(falling, np.cumsum(falling, axis=axis), p), axis=axis)
        return finish(np.where(stays, values, 0), order)

    return wrong


def _crosses(falling: np.ndarray, sums: np.ndarray, p: float) -> np.ndarray:
    return sums - falling < np.float32(p)


def _first_or(keep: Callable) -> Callable:
    def also_first(falling: np.ndarray, sums: np.ndarray, p: float) -> np.ndarray:
        stays = keep(falling, sums, p)
        stays[..., 0] = True
        return stays

    return also_first


_CROSSING = "Sum up to each word, or up to the one before it? The word that crosses p must stay, as the last."

_TOP_P = Exercise(
    keep_top_p,
    NOTEBOOK,
    _top_p_cases,
    mistakes=(
        Mistake(
            "the word that crosses p is dropped, so fewer words than p are left",
            _top_p(lambda falling, sums, p: sums <= np.float32(p)),
            _CROSSING,
        ),
        Mistake(
            "the word that crosses p is dropped, unless it is the first",
            _top_p(_first_or(lambda falling, sums, p: sums <= np.float32(p))),
            _CROSSING,
        ),
        Mistake(
            "the word that reaches p is dropped",
            _top_p(lambda falling, sums, p: sums < np.float32(p)),
            _CROSSING,
        ),
        Mistake(
            "a word too many is kept where the others have exactly p together",
            _top_p(lambda falling, sums, p: sums - falling <= np.float32(p)),
            "The docstring says the fewest words whose probabilities sum to p or more.",
        ),
        Mistake(
            "words are kept whose own probability is p or more",
            _top_p(lambda falling, sums, p: falling >= np.float32(p)),
            "p is a sum over words, and not a threshold for each.",
        ),
        Mistake(
            "words are kept whose own probability is 1 - p or more",
            _top_p(lambda falling, sums, p: falling >= np.float32(1 - p)),
            "p is a sum over words, and not a threshold for each.",
        ),
        Mistake(
            "the least probable words are kept: the sum begins at the wrong end",
            _top_p(_crosses, rising=True),
            "sort puts the smallest first. Which words should come first?",
        ),
        Mistake(
            "the words are not sorted before they are summed",
            lambda probabilities, p: np.where(
                np.cumsum(probabilities, axis=-1) - probabilities < np.float32(p), probabilities, 0
            ),
            "The most probable words stand anywhere in a row. What has to be done before the sum?",
        ),
        Mistake(
            "the probabilities come back sorted, and nobody knows which word each belongs to",
            lambda probabilities, p: np.sort(as_numpy(keep_top_p(probabilities, p)), axis=-1)[..., ::-1],
            "The index of a probability is its word. Find out on the sorted ones what is kept, then keep it in place.",
        ),
        Mistake(
            "what is left is scaled to sum to 1 again",
            _top_p(_crosses, finish=lambda left, order: left / left.sum(axis=-1, keepdims=True)),
            "That can be left to whoever draws. Here the others become 0, and what is kept stays as it is.",
        ),
        Mistake(
            "the sum goes over the rows, and not over the words of each row",
            _top_p(_crosses, axis=0),
            "Probabilities are (..., words), and each row is a distribution of its own.",
        ),
        Mistake(
            "a mask comes back, and not the probabilities",
            _top_p(_crosses, finish=lambda left, order: left > 0),
            "What is kept keeps its probability.",
        ),
    ),
    hints=(
        "Sort each row, the largest first. Then a running sum tells how much has been collected: np.cumsum.",
        "A word stays if what was collected before it is less than p.",
        "Find the smallest probability that stays, in each row. In the unsorted row, what is below it becomes 0.",
    ),
    observe=kept,
)


# extend_beams


def facts_of_beams(
    function: Callable, beams: Beams, log_probs: np.ndarray, position: int, sampler: BeamSearch, tokens: SpecialTokens
) -> Facts:
    """Follow beams one word further."""
    facts = Facts.fromkeys(("form", "parents", *Beams._fields))
    given = Beams(*(part.copy() for part in beams))
    result = function(given, log_probs.copy(), position, sampler, tokens)
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Beams):
        return Facts({**facts, "form": f"no pair of Beams and parents, but {short(result)}"})
    found = {name: as_numpy(value) for name, value in result[0]._asdict().items()}
    return Facts({**facts, "form": "Beams and their parents", "parents": as_numpy(result[1]), **found})


_TOKENS = SpecialTokens(1, 2, (0,))


def _some_beams(sampler: BeamSearch, totals: Sequence, finished: Sequence, lengths: Sequence) -> Beams:
    """Beams by their log-probabilities, all (pictures, k); the words are numbers that tell the beams apart."""
    lengths = np.array(lengths, dtype=np.float32)
    places = np.arange(sampler.max_len)
    captions = 3 + (np.arange(lengths.size).reshape(lengths.shape)[..., None] + places) % 4
    ended = np.array(finished)[..., None] & (places >= lengths[..., None] - 1)
    captions = np.where(ended | (places >= lengths[..., None]), _TOKENS.end, captions).astype(np.int32)
    last = np.take_along_axis(captions, lengths.astype(int)[..., None] - 1, axis=-1)[..., 0]
    return Beams(last, captions, np.array(finished), lengths, np.array(totals, dtype=np.float32))


def _beam_cases(rng: np.random.Generator) -> list[Case]:
    fixed = np.random.default_rng(7)

    def log_probs(source: np.random.Generator, pictures: int, k: int, spread: float = 1.5) -> np.ndarray:
        logits = source.normal(0, spread, (pictures, k, 7))
        logits[..., :2] = -30  # PAD and START are never said
        return np.log(np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32)

    def case(name: str, sampler: BeamSearch, totals: Sequence, finished: Sequence, lengths: Sequence) -> Case:
        source = rng if name.startswith("random") else fixed
        beams = _some_beams(sampler, totals, finished, lengths)
        position = int(np.max(lengths))
        return Case(name, (beams, log_probs(source, len(totals), sampler.k), position, sampler, _TOKENS))

    first = first_beams(2, BeamSearch(3, max_len=4), _TOKENS)
    two, three = BeamSearch(2, max_len=5), BeamSearch(3, max_len=5)
    by_mean = BeamSearch(3, length_penalty=1.0, max_len=6)
    no, some = [False, False, False], [False, True, False]
    return [
        Case("the first word, with k = 3", (first, log_probs(fixed, 2, 3), 0, BeamSearch(3, max_len=4), _TOKENS)),
        case("k = 1, which is greedy", BeamSearch(1, max_len=4), [[-1.0], [-2.0]], [[False], [False]], [[1], [1]]),
        case("no caption is finished", three, [[-1, -1.1, -1.2], [-2, -2.5, -2.6]], [no, no], [[2] * 3] * 2),
        case("one beam has the best continuations", two, [[-1.0, -9.0]], [[False, False]], [[2, 2]]),
        case("a finished caption stays the best", two, [[-0.5, -1.0]], [[True, False]], [[2, 3]]),
        case("a finished caption is among the best", three, [[-1, -1.6, -1.7]], [some], [[3, 2, 3]]),
        case("a finished caption is pushed out", three, [[-0.1, -9, -0.2]], [some], [[3, 2, 3]]),
        case("all captions are finished", two, [[-1.0, -2.0]], [[True, True]], [[2, 3]]),
        case("ranked by the mean of the words", by_mean, [[-3, -2.2, -3.1], [-2, -4, -4]], [some] * 2, [[4, 2, 4]] * 2),
        *_random_beams(rng, case),
    ]  # fmt: skip


def _random_beams(rng: np.random.Generator, case: Callable) -> list[Case]:
    cases = []
    for number, penalty in ((1, 0.0), (2, 0.0), (3, 0.7)):
        sampler = BeamSearch(3, length_penalty=penalty, max_len=6)
        finished = rng.random((3, 3)) < 0.4
        lengths = np.where(finished, rng.integers(1, 4, (3, 3)), 4)
        cases.append(
            case(f"random beams, number {number}", sampler, -np.sort(rng.uniform(1, 4, (3, 3))), finished, lengths)
        )
    return cases


def _end_is_free(log_probs: np.ndarray, finished: np.ndarray, end: int) -> np.ndarray:
    only_end = np.where(np.arange(log_probs.shape[-1]) == end, 0.0, -np.inf)
    return np.where(finished[..., None], only_end, log_probs)


def _end_has_its_price(log_probs: np.ndarray, finished: np.ndarray, end: int) -> np.ndarray:
    is_end = np.arange(log_probs.shape[-1]) == end
    return np.where(finished[..., None] & ~is_end, -np.inf, log_probs)


def _k_best(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Beam and word of the k best of each picture."""
    flat = scores.reshape(len(scores), -1)
    best = np.argsort(-flat, axis=-1, kind="stable")[:, :k]
    return best // scores.shape[-1], best % scores.shape[-1]


def _best_of_each_beam(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return np.tile(np.arange(k), (len(scores), 1)), scores.argmax(axis=-1)


def _best_of_first_beam(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return _k_best(np.where(np.arange(scores.shape[1])[:, None] == 0, scores, -np.inf), k)


def _words_not_taken_apart(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    parents, words = _k_best(scores, k)
    return parents, parents * scores.shape[-1] + words


def _beams_by_hand(
    of_finished: Callable = _end_is_free,
    join: Callable = np.add,
    choose: Callable = _k_best,
    longer: Callable = lambda beams: beams.lengths + ~beams.finished,
    rank: Callable = lambda totals, lengths, penalty: totals / lengths**penalty,
    keep: Callable = lambda totals, scores: totals,
    moved: Sequence[str] = ("captions", "finished", "lengths"),
    ends: Callable = lambda finished, words, end: finished | (words == end),
    place: int = 0,
    arrange: Callable = lambda beams, parents: (beams, parents),
) -> Callable:
    """An `extend_beams` in which one step is done in another way."""

    def wrong(beams: Beams, log_probs: Any, position: int, sampler: BeamSearch, tokens: SpecialTokens) -> Any:
        beams = Beams(*map(np.asarray, beams))
        totals = join(beams.total[..., None], of_finished(np.asarray(log_probs), beams.finished, tokens.end))
        lengths = longer(beams).astype(np.float32)
        scores = rank(totals, lengths[..., None], sampler.length_penalty)
        parents, words = choose(scores, sampler.k)
        rows = np.arange(len(parents))[:, None]

        def of_parents(name: str, values: np.ndarray) -> np.ndarray:
            return values[rows, parents] if name in moved else values

        captions = of_parents("captions", beams.captions).copy()
        captions[..., min(position + place, sampler.max_len - 1)] = words
        finished = ends(of_parents("finished", beams.finished), words, tokens.end)
        total = keep(totals, scores)[rows, parents, words % log_probs.shape[-1]]
        new = Beams(words, captions, finished, of_parents("lengths", lengths), total)
        return arrange(new, parents)

    return wrong


_CLASSIC = (
    "A finished caption competes with the others as it is. Let it have a single continuation, END once more. "
    "What must that cost?"
)
_FAMILY = "A new beam continues an old one, its parent. Everything that it knows of itself, it has from there."

_BEAMS = Exercise(
    extend_beams,
    NOTEBOOK,
    _beam_cases,
    mistakes=(
        Mistake(
            "finished captions are lost: as soon as one has reached END, it is thrown away",
            _beams_by_hand(lambda log_probs, finished, end: np.where(finished[..., None], -np.inf, log_probs)),
            _CLASSIC,
        ),
        Mistake(
            "finished captions go on: words are written behind END",
            _beams_by_hand(lambda log_probs, finished, end: log_probs),
            _CLASSIC,
        ),
        Mistake(
            "finished captions are not looked after: they go on and become longer like all others",
            _beams_by_hand(lambda log_probs, finished, end: log_probs, longer=lambda beams: beams.lengths + 1),
            _CLASSIC,
        ),
        Mistake(
            "finished captions pay for END again at every step, until they are pushed out",
            _beams_by_hand(_end_has_its_price),
            _CLASSIC,
        ),
        Mistake(
            "finished captions are copied: every word behind END is free, so one caption takes many places",
            _beams_by_hand(lambda log_probs, finished, end: np.where(finished[..., None], 0.0, log_probs)),
            _CLASSIC,
        ),
        Mistake(
            "log-probabilities are multiplied, where they should be added",
            _beams_by_hand(join=np.multiply),
            "Probabilities are multiplied. What becomes of that for their logarithms?",
        ),
        Mistake(
            "what came before is forgotten: beams are ranked by their new word alone",
            _beams_by_hand(join=lambda total, log_probs: log_probs),
            "A caption is as probable as all of its words together.",
        ),
        Mistake(
            "each beam keeps its own best word, so the beams never compete: this is greedy, k times",
            _beams_by_hand(choose=_best_of_each_beam),
            "The k best of all continuations of a picture. Two of them may come from the same beam.",
        ),
        Mistake(
            "only the first beam is continued",
            _beams_by_hand(choose=_best_of_first_beam),
            "The k best of all continuations of a picture, whichever beam they come from.",
        ),
        Mistake(
            "the least probable continuations are kept",
            _beams_by_hand(choose=lambda scores, k: _k_best(-scores, k)),
            "Log-probabilities are negative. Which is better, -1 or -9?",
        ),
        Mistake(
            "words are numbers among all continuations, larger than the vocabulary",
            _beams_by_hand(choose=_words_not_taken_apart),
            "Of a position in the flattened scores, one part says which beam it was, and the other which word.",
        ),
        Mistake(
            "captions are not taken along from the beam that is continued",
            _beams_by_hand(moved=("finished", "lengths")),
            _FAMILY,
        ),
        Mistake(
            "finished is not taken along from the beam that is continued",
            _beams_by_hand(moved=("captions", "lengths")),
            _FAMILY,
        ),
        Mistake(
            "lengths are not taken along from the beam that is continued",
            _beams_by_hand(moved=("captions", "finished")),
            _FAMILY,
        ),
        Mistake("nothing is taken along from the beam that is continued", _beams_by_hand(moved=()), _FAMILY),
        Mistake(
            "finished captions become longer at every step",
            _beams_by_hand(longer=lambda beams: beams.lengths + 1),
            "END once more is no word. Whose length grows by one?",
        ),
        Mistake(
            "lengths stay as they are",
            _beams_by_hand(
                longer=lambda beams: beams.lengths,
                rank=lambda totals, lengths, penalty: totals / np.maximum(lengths, 1) ** penalty,
            ),
            "A word has been added. Whose length grows by one?",
        ),
        Mistake(
            "length_penalty is not used",
            _beams_by_hand(rank=lambda totals, lengths, penalty: totals),
            "Captions are ranked by log-probability / words ** length_penalty, which is 1 / 1 only where it is 0.",
        ),
        Mistake(
            "length_penalty is always 1",
            _beams_by_hand(rank=lambda totals, lengths, penalty: totals / lengths),
            "Captions are ranked by log-probability / words ** length_penalty. What does the sampler say?",
        ),
        Mistake(
            "the score is kept as log-probability, so it is divided by the length again at the next step",
            _beams_by_hand(keep=lambda totals, scores: scores),
            "Rank by the score, and keep the total.",
        ),
        Mistake(
            "finished is never set",
            _beams_by_hand(ends=lambda finished, words, end: finished),
            "What does it mean if the new word is END?",
        ),
        Mistake(
            "the new word is written a place too far",
            _beams_by_hand(place=1),
            "position counts from 0, and is the column of the new word.",
        ),
        Mistake(
            "the parents do not come back",
            _beams_by_hand(arrange=lambda beams, parents: beams),
            "Whoever calls this function must move the LSTM's states, too. What does it need to know?",
        ),
    ),
    hints=(
        "A finished beam gets other log-probabilities: 0 for END, -np.inf for all other words.",
        "Add them to the beams' totals. Scores are totals / lengths ** sampler.length_penalty, with the new lengths.",
        "best_continuations(scores, sampler.k), imported above, gives for each of the k best its beam and its word.",
        "values[np.arange(len(parents))[:, None], parents] gives what the parents have: captions, lengths, finished.",
        "captions[..., position] is the column of the new words.",
    ),
    observe=facts_of_beams,
    tolerance=1e-4,
)  # fmt: skip


EXERCISES = (_REARRANGE, _WRITE, _TEMPERATURE, _TOP_P, _BEAMS)
"""In the order of the notebook."""
