"""What every package needs: errors for people, files that are whole or absent, settings, Keras that starts quietly.

Nothing here knows about pictures, captions or models.
"""
