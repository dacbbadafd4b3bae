"""The steps of the lessons without the lessons: from settings to files in the data folder, each made once.

This package knows which file belongs to which setting; the packages below take arrays and models. `features` and
`captions` prepare what `lessons` trains on; one table says how notebooks 04, 07, 08 and 11 differ.
"""
