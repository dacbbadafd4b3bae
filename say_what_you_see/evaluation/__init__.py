"""How good captions are: by the field's metrics, against what was drawn, and compared with people and other models.

The trained models and the pictures that they caption (`trained`) come from `course`; every score has a bootstrap
interval (`scores`). Plots that only notebooks show are in `utils`; the HTML pages are written here (`report`,
`gallery`). How fast code runs is measured in `benchmarks`.
"""
