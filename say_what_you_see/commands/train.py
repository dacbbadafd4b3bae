"""`say-what-you-see train`: train a decoder, or the control of notebook 04, or a trained decoder further for CIDEr."""

import argparse

from tqdm import tqdm

from say_what_you_see.core.errors import CourseError
from say_what_you_see.core.settings import Settings
from say_what_you_see.course.cider import train_lesson_for_cider
from say_what_you_see.course.lessons import LESSONS, train_control, train_lesson
from say_what_you_see.training.checkpoints import History


def train(settings: Settings, options: argparse.Namespace) -> int:
    """Train, and say where the result is."""
    lesson = LESSONS[options.model]
    if options.control:
        if options.model != "decoder":
            raise CourseError("--control is the control of notebook 04's decoder. Leave out --model.")
        train_control(settings)
        print(f"Control: {settings.work_folder / 'checkpoints_control'}")
        return 0
    if options.cider:
        train_lesson_for_cider(lesson, settings, options.cider, _show_language)
    else:
        train_lesson(lesson, settings)
    print(f"Model: {lesson.model_folder(settings, for_cider=bool(options.cider))}")
    return 0


def _show_language(history: History) -> None:
    """What the last epoch of CIDEr training did to the captions: they get shorter, and use fewer words."""
    last = history[-1]
    tqdm.write(  # beside the progress bar
        f"epoch {last['epoch']}: samples have reward {last['reward']:.3f} and {last['length']:.1f} words; greedy "
        f"captions of validation pictures: CIDEr {last['val_cider']:.3f}, {last['val_length']:.1f} words, "
        f"{last['val_words']} different ones"
    )
