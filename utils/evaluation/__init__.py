"""How good captions are: metrics, errors, models side by side."""
