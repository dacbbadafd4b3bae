"""Examples to look at: pictures from zips, with their captions or with a model's."""

from collections.abc import Sequence
from pathlib import Path

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.data.archives import image_members, open_zip, read_member
from say_what_you_see.decoding.beam_search import PHOTO_SAMPLER
from say_what_you_see.serving.caption_photos import PictureCaptions, caption_pictures
from say_what_you_see.serving.captioner import Captioner, generate_caption, load_captioner
from say_what_you_see.serving.fast_captioner import load_fast_captioner
from say_what_you_see.serving.model_choice import PHOTO_MODEL
from say_what_you_see.vision.pictures import decode_image_from_buf, image_center_crop, read_pictures
from say_what_you_see.vision.sources import find_images
from utils.plots import show_pictures


def show_training_example(
    zip_fn: str | Path, fns: Sequence[str], captions: Sequence[Sequence[str]], example_idx: int = 0
) -> None:
    """Show a picture of a zip, cropped to its centre, under its captions.

    Args:
        zip_fn: a zip file of pictures.
        fns: file names of the pictures.
        captions: the captions of each file name.
        example_idx: which of the pictures to show, counting from 0.
    """
    captions_by_file = dict(zip(fns, captions, strict=True))
    with open_zip(zip_fn) as archive:
        members = [member for member in image_members(zip_fn) if member.filename.rsplit("/")[-1] in captions_by_file]
        example = members[example_idx]
        picture = image_center_crop(decode_image_from_buf(read_member(archive, example)))
    lines = captions_by_file[example.filename.rsplit("/")[-1]]
    show_pictures([picture], ["\n".join(lines)], alt="A picture described as: " + " ".join(lines), columns=1, side=4.2)


def show_valid_example(captioner: Captioner, zip_fn: str | Path, fns: Sequence[str], example_idx: int = 0) -> None:
    """Show a validation picture under the caption that the model gives it.

    Args:
        captioner: an encoder and a trained decoder.
        zip_fn: a zip file of pictures.
        fns: file names of the pictures.
        example_idx: which of the pictures to show, counting from 0.
    """
    picture = read_pictures(zip_fn, [fns[example_idx]], captioner.encoder.input_shape[0])[0]
    caption = generate_caption(captioner, picture)
    show_pictures([picture], [caption], alt=f"A validation picture, captioned: {caption}", columns=1, side=3.6)


def caption_photographs(paths: Sequence[str | Path], settings: Settings) -> list[PictureCaptions]:
    """Caption files, folders or addresses with the photo model; a CourseError if one cannot be read."""
    captioner = load_fast_captioner(PHOTO_MODEL, settings.data_folder) or load_captioner(PHOTO_MODEL, settings)
    found = list(caption_pictures(captioner, find_images(list(map(str, paths))), PHOTO_SAMPLER, thumbnails=True))
    for photograph in found:
        if photograph.error:
            raise CourseError(photograph.error)
    return found


def show_photographs(photographs: Sequence[PictureCaptions]) -> None:
    """Show photographs under their captions, with the reasons to doubt them, if there are any."""
    titles = [
        photograph.caption + (f"\n(doubtful: {'; '.join(photograph.doubts)})" if photograph.doubts else "")
        for photograph in photographs
    ]
    names = [Path(photograph.name).stem.replace("_", " ") for photograph in photographs]
    alt = " | ".join(f"{name}, captioned: {title}" for name, title in zip(names, titles, strict=True))
    pictures = [p.thumbnail for p in photographs if p.thumbnail is not None]
    show_pictures(pictures, titles, alt.replace("\n", " "), columns=3, side=3.2)
