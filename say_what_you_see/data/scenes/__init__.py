"""Scenes that the course draws itself: inventing, drawing and describing them, and scoring captions of them."""
