"""Examples to look at: pictures out of zips, with their captions or with what a model says of them."""

from collections.abc import Sequence
from pathlib import Path

from say_what_you_see.data.archives import image_members, open_zip, read_member
from say_what_you_see.serving.captioner import Captioner, generate_caption
from say_what_you_see.vision.pictures import decode_image_from_buf, image_center_crop, read_pictures
from utils.plots import show_pictures


def show_training_example(
    zip_fn: str | Path, fns: Sequence[str], captions: Sequence[Sequence[str]], example_idx: int = 0
) -> None:
    """Show a picture of a zip, cropped to its centre, under its captions.

    Args:
        zip_fn: a zip file of pictures.
        fns: file names of the pictures.
        captions: for each file name its captions.
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
