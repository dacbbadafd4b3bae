"""The steps of the lessons without the lessons: from settings to files in the data folder, each made once.

Here is known which file belongs to which setting; the rooms below take arrays and models. `features` and `captions`
prepare what `lessons` trains on: one table says what differs between the notebooks 04, 07 and 08.
"""
