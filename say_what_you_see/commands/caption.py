"""The command `say-what-you-see caption`: describe any pictures with a trained model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from say_what_you_see.commands.cluster import (
    add_cluster_arguments,
    cluster_plan,
    print_manifest,
    refuse_without_ray,
    shard_options,
)
from say_what_you_see.commands.options import count, positive, share
from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.core.text import terminal_json, visible
from say_what_you_see.serving.model_choice import DRAWINGS_ONLY, default_model, find_model

if TYPE_CHECKING:  # the real imports come when the command runs: `--help` should not wait for Keras
    from say_what_you_see.decoding.decoding import Sampler
    from say_what_you_see.serving.caption_photos import PictureCaptions
    from say_what_you_see.serving.captioner import Captioner
    from say_what_you_see.serving.exported import FastCaptioner

_MANY = 8  # pictures; from here on a bar shows how far it is


def add_arguments(command: argparse.ArgumentParser) -> None:
    """The options of the command."""
    command.add_argument(
        "photos", nargs="+", metavar="PHOTO",
        help="picture files, folders, patterns such as 'holiday/*.jpg', http(s) addresses, or - for standard input; "
        "with --engine ray files, folders, zips, tars and Parquet files",
    )  # fmt: skip
    command.add_argument(
        "--model", metavar="FOLDER|NAME",
        help="model folder, or the name of an installed model (default: the one of the last training, or else the one "
        "that comes with the course)",
    )  # fmt: skip
    command.add_argument("--max-len", type=count, default=20, metavar="N", help="stop after N words (default: 20)")
    way = command.add_mutually_exclusive_group()
    way.add_argument("--beam", type=count, metavar="K", help="beam search: follow the K best captions at once")
    way.add_argument("--sample", action="store_true", help="draw words by their probability (see --temperature)")
    command.add_argument("--length-penalty", type=float, default=0.0, metavar="A", help="beam search: 1 favours longer")
    command.add_argument("--temperature", type=positive, default=1.0, metavar="T", help="below 1: more cautious")
    command.add_argument("--top-k", type=count, metavar="K", help="draw among the K most probable words only")
    command.add_argument("--top-p", type=share, metavar="P", help="draw among the fewest words of probability P")
    command.add_argument(
        "--with-keras", action="store_true",
        help="load the model with Keras, and neither use nor make the quick copy of it, which says the same",
    )  # fmt: skip
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, for machines")
    form.add_argument("--html", type=Path, metavar="FILE", help="write a page with the pictures and their captions")
    add_cluster_arguments(command, ("jsonl", "parquet"))


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Caption pictures; the exit status is 1 when one of them could not be read."""
    folder = find_model(options.model, settings) if options.model else default_model(settings)
    if options.engine is not None:
        return _caption_with_ray(folder, settings, options)
    refuse_without_ray(options)
    exported = None if options.with_keras else _exported(folder, settings)
    captioner = exported or _with_keras(folder, settings)
    status = _caption(captioner, options)
    if exported is None and not options.with_keras:
        _export(captioner, folder, settings)
    return status


def _caption_with_ray(folder: Path, settings: Settings, options: argparse.Namespace) -> int:
    """Caption any number of pictures, into shards; those that cannot be read are named and do not count as an error."""
    if options.output is None:
        raise CourseError("--engine ray needs --output FOLDER, where the captions go.")
    if options.json or options.html:
        raise CourseError("--json and --html are for a few pictures. With --engine ray captions go to --output.")
    from say_what_you_see.distributed.run import caption_with_ray
    from say_what_you_see.serving.captioner import encoder_of
    from say_what_you_see.serving.model_folder import load_caption_model

    model = load_caption_model(folder)
    if model.encoder["pictures_kind"] == "scenes":
        print(DRAWINGS_ONLY, file=sys.stderr)
    encoder, sampler, plan = encoder_of(model, settings), _decoding(options), cluster_plan(options)
    manifest = caption_with_ray(
        options.photos, options.output, model, encoder, sampler, settings.seed, plan, shard_options(options)
    )
    print_manifest(manifest, options.output)
    return 0


def _exported(folder: Path, settings: Settings) -> FastCaptioner | None:
    """The quick copy of a model, where there is one: it starts in a moment, and TensorFlow in several seconds."""
    from say_what_you_see.serving.exported import load_exported

    return load_exported(folder, settings.data_folder)


def _with_keras(folder: Path, settings: Settings) -> Captioner:
    from say_what_you_see.serving.captioner import load_captioner

    return load_captioner(folder, settings)


def _export(captioner: Captioner, folder: Path, settings: Settings) -> None:
    """Make the quick copy of a model, once; whatever happens, the captions are there already."""
    from say_what_you_see.serving.exported import cannot_be_exported
    from say_what_you_see.vision.openvino import engine_is_here

    if not engine_is_here() or cannot_be_exported(folder, settings.data_folder):
        return
    from say_what_you_see.serving.export import export_captioner

    print("Making a quick copy of this model for the next time (once; Ctrl-C skips it) ...", file=sys.stderr)
    try:
        reason = export_captioner(captioner, folder, settings.data_folder)
    except KeyboardInterrupt:
        reason = "stopped"
    except (CourseError, OSError) as error:
        reason = str(error)
    if reason:
        print(f"No quick copy was made ({reason}). The model works as it is.", file=sys.stderr)


def _caption(captioner: Captioner | FastCaptioner, options: argparse.Namespace) -> int:
    """Caption the pictures and print the captions."""
    import numpy as np

    from say_what_you_see.serving.caption_photos import caption_pictures
    from say_what_you_see.vision.sources import find_pictures

    drawings_only = captioner.pictures_kind == "scenes"
    if drawings_only and not options.json:
        print(DRAWINGS_ONLY, file=sys.stderr)
    sources = find_pictures(options.photos)
    rng = np.random.default_rng(options.seed)
    found = caption_pictures(captioner, sources, _decoding(options), rng, thumbnails=options.html is not None)
    found = _watched(found, len(sources))
    if options.json:
        return _print_json(found, drawings_only)
    introduction = DRAWINGS_ONLY if drawings_only else ""
    return _write_page(found, options.html, introduction) if options.html else _print_lines(found)


def _decoding(options: argparse.Namespace) -> Sampler:
    """The way of choosing words that the options ask for."""
    from say_what_you_see.decoding.decoding import BeamSearch, Greedy, Sampling

    if options.beam:
        return BeamSearch(options.beam, options.length_penalty, options.max_len)
    if options.sample:
        return Sampling(options.temperature, options.top_k, options.top_p, options.max_len)
    return Greedy(options.max_len)


def _watched(found: Iterator[PictureCaptions], count: int) -> Iterable[PictureCaptions]:
    """The same with a progress bar, where it takes a while."""
    from say_what_you_see.core.progress import progress

    return progress(found, total=count, description="Captioning", unit=" pictures") if count >= _MANY else found


def _print_lines(found: Iterable[PictureCaptions]) -> int:
    status = 0
    for picture in found:
        if picture.error is not None:
            print(visible(f"Error: {picture.error}"), file=sys.stderr)
            status = 1
        elif len(picture.captions) == 1:
            print(visible(f"{picture.name}: {picture.caption}"), flush=True)
        else:
            lines = [f"  {probability:#.2g}  {sentence}" for sentence, probability in picture.captions]
            print(visible("\n".join([f"{picture.name}:", *lines])), flush=True)
    return status


def _print_json(found: Iterable[PictureCaptions], drawings_only: bool) -> int:
    pictures = [picture.as_json() for picture in found]
    print(terminal_json({"knows_drawings_only": drawings_only, "pictures": pictures}))
    return int(any("error" in picture for picture in pictures))


def _write_page(found: Iterable[PictureCaptions], path: Path, introduction: str) -> int:
    from say_what_you_see.evaluation.gallery import GalleryItem, write_gallery

    status, items = 0, []
    for picture in found:
        if picture.error is not None:
            print(visible(f"Error: {picture.error}"), file=sys.stderr)
            status = 1
        others = [f"{probability:#.2g}  {sentence}" for sentence, probability in picture.captions]
        lines = [picture.name, *(others if len(others) > 1 else [])]
        items.append(GalleryItem(picture.thumbnail, picture.error or picture.caption, lines, picture.error is not None))
    squares = "Each picture is shown as the model sees it: the square in its middle."
    write_gallery(path, "Captions", {"": items}, f"{introduction} {squares}".strip())
    print(f"Captions of {len(items)} pictures: {path}")
    return status
