"""What the notebooks need and a lesson is not: pictures, plots, the check of exercises, the widget."""
