"""Scenes that the course draws itself: invented, drawn, described, written as a data set, and read again.

How well captions of them do is scored above, in `evaluation`.
"""
