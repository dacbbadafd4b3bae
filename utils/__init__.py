"""What the notebooks need besides the lessons: pictures, plots, the check of exercises, the widget."""
