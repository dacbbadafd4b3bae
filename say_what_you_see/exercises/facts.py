"""Facts about a result, for exercises in which more than one result is right."""

from __future__ import annotations


class Facts(dict):
    """What is so of a result, such as {"every picture can come": True}, the most telling facts first.

    Where chance has a part, or a model is built, two right answers differ. Their facts do not, and those are
    what is compared. A report shows the first fact that differs, and leaves out the others.
    """

    def line(self, where: str, value: str) -> str:
        """The fact at `where`, such as "['logits'][0, 2]", with its value, for people."""
        key = next((key for key in self if where.startswith(f"[{key!r}]")), "")
        return f"{key}{where.removeprefix(f'[{key!r}]')}: {value}"
