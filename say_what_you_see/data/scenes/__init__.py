"""Scenes that the course draws itself: invented, drawn, described, written as a data set, and read again.

Captions of them are scored in `evaluation`.
"""
