"""Decoding without the encoder: features in, captions out; greedy, image by image and many at once, and beam search."""

from pathlib import Path

from benchmarks.decoder_work import BEAMS, MAX_LEN, make_work, repetition, step_model, vocabulary
from benchmarks.stage import Contender, Repetition, Stage, on_other_backends
from say_what_you_see.decoding.beam_search import BeamSearch
from say_what_you_see.decoding.generate import generate
from say_what_you_see.decoding.samplers import Greedy
from say_what_you_see.models.saved_decoder import read_saved_decoder


def course(work: dict, kind: str, form: str) -> Repetition:
    """The course in a form: "fastest", as `generate` chooses; "keras", steps by Keras; "exported", NumPy only."""
    vocab = vocabulary(work["words"])
    sampler = BeamSearch(BEAMS, max_len=MAX_LEN) if kind == "beam" else Greedy(MAX_LEN)
    exported = form == "exported"
    model = read_saved_decoder(Path(work["folder"], "decoder.keras")) if exported else step_model(work)
    if form == "keras":
        model.fastest = lambda: model
    return repetition(lambda features: generate(model, features, vocab, sampler).log_probabilities[:, 0], work, kind)


def contenders(kind: str) -> tuple[Contender, ...]:
    """The course in all its forms, and its peers."""
    here, peers = f"{__name__}:course", "benchmarks.peers.decoding:captions"
    forms = {"course": ("the course: generate", "fastest"), "exported": ("the course: exported captioner", "exported"),
             "plain": ("the course: generate, steps by Keras", "keras")}  # fmt: skip
    frameworks = {"predict": ("Keras predict per word", "keras_predict"), "torch": ("PyTorch loop", "pytorch"),
                  "tf_function": ("tf.function per word", "tf_function")}  # fmt: skip
    own = (Contender(key, title, here, "course", {"kind": kind, "form": form}) for key, (title, form) in forms.items())
    others = (
        Contender(key, title, peers, "peer", {"kind": kind, "framework": name}, ("torch",) * (key == "torch"))
        for key, (title, name) in frameworks.items()
    )
    return (*own, *on_other_backends(here, kind=kind, form="keras"), *others)


_TITLES = {
    "greedy_one": "Greedy decoding, decoder only, one picture at a time",
    "greedy_many": "Greedy decoding, decoder only, 256 pictures",
    "beam": f"Beam search, k = {BEAMS}, decoder only, 256 pictures",
}
STAGES = tuple(
    Stage(kind, title, "captions/s", make_work, contenders(kind), agreement=1e-3) for kind, title in _TITLES.items()
)
