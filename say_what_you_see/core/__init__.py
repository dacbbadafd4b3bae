"""What every other package needs: errors written for users, files that are complete or absent, settings, quiet Keras.

Nothing here knows about pictures, captions or models.
"""
