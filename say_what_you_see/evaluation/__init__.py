"""How good captions are: metrics, truth on the drawn scenes, models side by side, galleries."""
