"""The steps of the lessons without the lessons: from settings to files in the data folder, each made once and resumable.

The rooms below take arrays and models; only this one knows which file belongs to which setting.
"""
