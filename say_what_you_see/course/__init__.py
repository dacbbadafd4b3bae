"""The steps of the lessons, without their prose: from settings to files in the data folder, each made once.

This package knows which file belongs to which setting; the packages below it take arrays and models. `features` and
`captions` prepare what `lessons` trains on; one table there says how notebooks 04, 07, 08 and 11 differ.
"""
