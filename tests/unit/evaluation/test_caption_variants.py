"""Mistakes are made on purpose, and the same is said in other words."""

from scene_samples import scenes_of, truth_of

from say_what_you_see.data.scenes.captions import describe_scene
from say_what_you_see.data.scenes.claims import read_claims
from say_what_you_see.evaluation.caption_variants import paraphrase, reference_variants
from say_what_you_see.evaluation.scene_scores import count_claims


def test_references_with_two_colours_are_exchanged_or_replaced_by_another():
    two_colours = ["A dog .", "A Black dog on a white sofa .", "A sofa .", "A pet ."]
    variants, left = reference_variants([two_colours, ["A red kite .", "A kite .", "A sky ."], two_colours[:2]])
    assert variants == {
        "as written": ["a black dog on a white sofa ."],
        "colours swapped": ["a white dog on a black sofa ."],
        "other words": ["a dog ."],
    }
    assert left == [["a sofa .", "a pet ."]], "pictures without two colours, or with too few references, are left out"


def test_other_words_claim_the_same():
    changed = 0
    for scene in scenes_of("val", 60):
        for caption in describe_scene(scene):
            caption = " ".join(caption.lower().replace(",", "").replace(".", "").split())
            other = paraphrase(caption)
            changed += other != caption
            claims, same = read_claims(caption), read_claims(other)
            said, told = [[(m.kind, m.colour, m.size) for m in c.mentions] for c in (claims, same)]
            assert said == told and claims.relations == same.relations
            assert count_claims(caption, truth_of(scene)) == count_claims(other, truth_of(scene))
    assert changed > 200
    assert paraphrase("a tiny red car above a house at sea") == (
        "a small red automobile over a cottage out on the ocean"
    )
