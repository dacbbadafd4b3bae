"""Progress bars: on stderr, and plain. That they can be switched off is seen in test_fast_extraction.py."""

from say_what_you_see.core.progress import progress


def test_passes_everything_on_and_writes_to_stderr_only(capsys, monkeypatch):
    monkeypatch.delenv("COURSE_PROGRESS", raising=False)
    assert list(progress(iter("abc"), total=3, description="letters")) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == "" and "letters" in err and "3/3" in err and err.isascii()
