"""`say-what-you-see caption`: describe any pictures with a trained model.

A model's quick copy starts in a moment, TensorFlow takes several seconds: Keras is imported only where it is needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from say_what_you_see.commands.options import refuse_options
from say_what_you_see.commands.ray_options import ray_options, refuse_without_ray
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.files import check_can_be_written
from say_what_you_see.core.progress import progress
from say_what_you_see.core.settings import Settings
from say_what_you_see.core.text import terminal_json, visible
from say_what_you_see.decoding.beam_search import BEAM_WIDTH, LENGTH_PENALTY, BeamSearch
from say_what_you_see.decoding.samplers import NO_REPEAT_NGRAM_SIZE, Greedy, Sampler, Sampling
from say_what_you_see.evaluation.gallery import GalleryItem, write_gallery
from say_what_you_see.serving.caption_photos import PictureCaptions, caption_pictures
from say_what_you_see.serving.fast_captioner import FastCaptioner, load_fast_captioner
from say_what_you_see.serving.model_choice import DRAWINGS_ONLY, default_model, find_model, introduction
from say_what_you_see.vision.openvino import openvino_is_installed
from say_what_you_see.vision.sources import find_images

if TYPE_CHECKING:
    from say_what_you_see.serving.captioner import Captioner

_PROGRESS_FROM = 8
"""From this many pictures on, a progress bar is shown."""


def caption(settings: Settings, options: argparse.Namespace) -> int:
    """Caption pictures; the exit status is 1 if one of them could not be read."""
    _refuse_what_cannot_go_well(options)
    folder = find_model(options.model, settings) if options.model else default_model(settings)
    if not options.json:
        print(visible(introduction(folder, settings)), file=sys.stderr)
    if options.engine is not None:
        return _caption_with_ray(folder, settings, options)
    if not options.with_keras:
        fast = load_fast_captioner(folder, settings.data_folder)
        if fast is not None:
            return _caption(fast, settings, options)
    from say_what_you_see.serving.captioner import load_captioner

    captioner = load_captioner(folder, settings)
    status = _caption(captioner, settings, options)
    if openvino_is_installed() and not options.with_keras:
        from say_what_you_see.serving.export import export_captioner

        export_captioner(captioner, folder, settings.data_folder)
    return status


def _refuse_what_cannot_go_well(options: argparse.Namespace) -> None:
    """Say so before any work if options do not go together, or the page could not be written."""
    if options.sample:
        advice = "has no effect with --sample. Leave out one of them."
        refuse_options(options, ("length_penalty", "no_repeat_ngram_size"), advice)
    else:
        advice = "has no effect without --sample. Add --sample, or leave it out."
        refuse_options(options, ("temperature", "top_k", "top_p"), advice)
    if options.engine is None:
        refuse_without_ray(options)
    elif options.output is None:
        raise CourseError("--engine ray needs --output FOLDER, where the captions go.")
    elif options.json or options.html:
        raise CourseError("--json and --html are for a few pictures. With --engine ray, captions go to --output.")
    if options.html:
        check_can_be_written(options.html)


def _caption_with_ray(folder: Path, settings: Settings, options: argparse.Namespace) -> int:
    """Caption any number of pictures, into shards; those that cannot be read are reported, but are not errors."""
    from say_what_you_see.distributed.run import caption_with_ray
    from say_what_you_see.serving.captioner import encoder_of
    from say_what_you_see.serving.model_folder import load_caption_model

    model = load_caption_model(folder)
    kind = model.encoder["pictures_kind"]
    if kind == "scenes":
        print(DRAWINGS_ONLY, file=sys.stderr)
    encoder, sampler = encoder_of(model, settings), _sampler(options, kind)
    caption_with_ray(options.photos, options.output, model, encoder, sampler, settings.seed, ray_options(options))
    return 0


def _caption(captioner: Captioner | FastCaptioner, settings: Settings, options: argparse.Namespace) -> int:
    """Caption the pictures; print the captions or write the page."""
    drawings_only = captioner.pictures_kind == "scenes"
    if drawings_only and not options.json:
        print(DRAWINGS_ONLY, file=sys.stderr)
    sources, rng = find_images(options.photos), np.random.default_rng(settings.seed)
    thumbnails = options.html is not None
    captioned: Iterable[PictureCaptions] = caption_pictures(
        captioner, sources, _sampler(options, captioner.pictures_kind), rng, thumbnails=thumbnails
    )
    in_sight = sys.stdout.isatty() and not (options.json or options.html)  # captions then show the progress themselves
    if len(sources) >= _PROGRESS_FROM and not in_sight:
        captioned = progress(captioned, total=len(sources), description="Captioning", unit=" pictures")
    pictures = []
    for picture in captioned:
        pictures.append(picture)
        if options.json:
            continue
        if picture.error is not None:
            print(visible(f"Error: {picture.error}"), file=sys.stderr)
        elif not options.html:
            print(visible(_as_text(picture)), flush=True)
    if options.json:
        answer = {"knows_drawings_only": drawings_only, "pictures": [one.as_json() for one in pictures]}
        print(terminal_json(answer, sys.stdout.encoding))
    elif options.html:
        _write_page(pictures, options.html, DRAWINGS_ONLY if drawings_only else "")
    return int(any(picture.error is not None for picture in pictures))


def _sampler(options: argparse.Namespace, pictures_kind: str) -> Sampler:
    if options.sample:
        return Sampling(options.temperature or 1.0, options.top_k, options.top_p, max_len=options.max_len)
    repeats = NO_REPEAT_NGRAM_SIZE if options.no_repeat_ngram_size is None else options.no_repeat_ngram_size
    k, n_best = (BEAM_WIDTH[pictures_kind], 1) if options.beam is None else (options.beam, None)
    if k == 1:
        return Greedy(options.max_len, repeats)
    penalty = LENGTH_PENALTY[pictures_kind] if options.length_penalty is None else options.length_penalty
    return BeamSearch(k, penalty, options.max_len, repeats, n_best)


def _as_text(picture: PictureCaptions) -> str:
    """The caption beside the picture's name, or several below it."""
    name = picture.name.replace("\n", r"\n")
    if len(picture.captions) == 1:
        return f"{name}: {picture.caption}{_doubts(picture)}"
    return "\n".join([f"{name}:{_doubts(picture)}", *_lines(picture)])


def _doubts(picture: PictureCaptions) -> str:
    """A warning to follow a caption that should not be trusted."""
    return f" (doubtful: {', '.join(picture.doubts)})" if picture.doubts else ""


def _lines(picture: PictureCaptions) -> list[str]:
    """Captions with their probabilities."""
    return [f"  {probability:#.2g}  {sentence}" for sentence, probability in picture.captions]


def _write_page(pictures: Sequence[PictureCaptions], path: Path, introduction: str) -> None:
    items = []
    for picture in pictures:
        lines = [f"{picture.name}{_doubts(picture)}"]
        lines += map(str.strip, _lines(picture) if len(picture.captions) > 1 else [])
        items.append(GalleryItem(picture.thumbnail, picture.error or picture.caption, lines, picture.error is not None))
    squares = "Each picture is shown as the model sees it: the square in its middle."
    write_gallery(path, "Captions", {"": items}, f"{introduction} {squares}".strip())
    print(f"Captions of {len(items)} picture{'s' * (len(items) != 1)}: {path}")
