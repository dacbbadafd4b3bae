"""What every room needs: errors for people, files that are whole or absent, settings, Keras without its start-up noise.

Nothing here knows about pictures, captions or models.
"""
