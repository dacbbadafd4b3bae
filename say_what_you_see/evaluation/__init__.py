"""How good captions are: by the field's metrics, by what was drawn, and beside people and other models.

The trained models and the pictures that they caption (`trained`) come from `course`; every score has a bootstrap
interval (`scores`). What only notebooks show of it is drawn in `utils`; the page that shows it in a browser is written
here (`report`, `gallery`). How fast code runs is measured in `benchmarks`.
"""
