"""Trained models as folders, and captions from them: saving, loading, installing, the captioner, the export for a quick start."""
