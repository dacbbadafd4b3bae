"""The Python tokeniser gives the words that the field's Java tokeniser gives."""

import pytest
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
from scene_samples import scenes_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.evaluation.java_metrics import NotMeasured, working_java
from say_what_you_see.evaluation.tokenizer import tokenize, tokenize_all

BY_HAND = [
    ("A red ball, below a kite.", "a red ball below a kite"),
    ("It's a dog's life, isn't it? The girls' toys", "it 's a dog 's life is n't it the girls toys"),
    ("They DON'T, can't and won't; I'm, you're", "they do n't ca n't and wo n't i 'm you 're"),
    ("we've, he'd, she'll", "we 've he 'd she 'll"),
    ("We cannot see; he's gonna run", "we can not see he 's gon na run"),
    ("It’s “curly” – isn’t it…", "it 's curly is n't it"),
    ("red-headed three-year-old - t-shirt -- and", "red-headed three-year-old t-shirt and"),
    ("co-worker's black-and-white.", "co-worker 's black-and-white"),
    ("Mr. Smith on Main St. in the U.S. at 5 p.m.", "mr. smith on main st. in the u.s. at 5 p.m."),
    ("1,000 people, 3.5 meters, 10:30, 12/31/2009, 1/2, 2nd", "1,000 people 3.5 meters 10:30 12/31/2009 1/2 2nd"),
    ("50% of $5.00 and #1", "50 % of $ 5.00 and # 1"),
    ('A sign says "STOP" (in red) [sic]', "a sign says stop -lrb- in red -rrb- -lsb- sic -rsb-"),
    ("wait... what.. no! what?! yes!!", "wait what no what ?! yes !!"),
    ("rock 'n' roll at six o'clock, ma'am, in the '90s", "rock 'n' roll at six o'clock ma'am in the '90s"),
    ("O'Brien and y'all; 'tis 'em", "o'brien and y' all 't is 'em"),
    ("black/white AT&T a & b w/ no. 5", "black/white at&t a & b w / no. 5"),
    ("a café naïve ½ € é", "a café naïve 1/2 $ é"),
    ("a man.No space,here;or:here", "a man.no space here or here"),
    ("blue #UNK# kite #sunset @home", "blue #unk # kite #sunset @home"),
    ("a happy 😀 face :)", "a happy face :-rrb-"),
    ("  a   double\tspaced caption\n", "a double spaced caption"),
    ("plan A. The end", "plan a the end"),
    ("", ""),
    (" . ' \" -- ", ""),
]  # fmt: skip


@pytest.mark.parametrize(("caption", "words"), BY_HAND)
def test_captions_are_cut_as_written_down_by_hand(caption, words):
    assert tokenize(caption) == words.split()


def test_these_and_captions_of_scenes_are_cut_as_the_reference_cuts_them():
    try:
        working_java()
    except NotMeasured as reason:
        pytest.skip(f"the reference is a Java program: {reason}")
    captions = [" ".join(caption.split()) for caption, _ in BY_HAND if caption]
    captions += [caption for scene in scenes_of("val", 400, seed=7) for caption in describe_scene(scene)]
    answers = PTBTokenizer().tokenize({i: [{"caption": caption}] for i, caption in enumerate(captions)})
    theirs = [answers[i][0] for i in range(len(captions))]
    both = zip(captions, theirs, tokenize_all(captions), strict=True)
    assert [row for row in both if row[1] != row[2]] == []
