"""Draw the picture at the top of README.md: `python -m tools.draw_readme_picture`, after `make course`.

Three validation scenes with what the trained model says of them.
"""

from __future__ import annotations

import textwrap

import matplotlib.pyplot as plt

from say_what_you_see.core.files import atomic_path
from say_what_you_see.core.settings import REPOSITORY, read_settings
from say_what_you_see.course.features import load_embeddings
from say_what_you_see.data.datasets import get_dataset
from say_what_you_see.serving.captioner import generate_caption, load_captioner
from say_what_you_see.vision.pictures import read_pictures

SCENES = (5, 7, 8)


def main() -> None:
    """Caption the scenes and write docs/example.png."""
    settings = read_settings({})
    captioner = load_captioner(settings.model_folder, settings)
    _, fns = load_embeddings(settings, "val")
    pictures = read_pictures(get_dataset(settings).val_zip, [fns[i] for i in SCENES], captioner.encoder.input_shape[0])
    figure, axes = plt.subplots(1, len(SCENES), figsize=(10.5, 4))
    for axis, picture in zip(axes, pictures, strict=True):
        axis.imshow(picture)
        axis.axis("off")
        axis.set_title(textwrap.fill(generate_caption(captioner, picture), 34), fontsize=12)
    figure.tight_layout()
    with atomic_path(REPOSITORY / "docs" / "example.png") as path:
        figure.savefig(path, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    main()
