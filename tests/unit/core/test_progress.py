"""Progress bars: on stderr, plain, and silent when asked."""

from say_what_you_see.core.progress import progress


def test_passes_everything_on_and_writes_to_stderr_only(capsys, monkeypatch):
    monkeypatch.delenv("COURSE_PROGRESS", raising=False)
    assert list(progress(iter("abc"), total=3, description="letters")) == ["a", "b", "c"]
    out, err = capsys.readouterr()
    assert out == ""
    assert "letters" in err
    assert "3/3" in err
    assert err.isascii()


def test_is_silent_when_switched_off(capsys, monkeypatch):
    monkeypatch.setenv("COURSE_PROGRESS", "off")
    assert list(progress([1, 2])) == [1, 2]
    assert capsys.readouterr() == ("", "")
