"""The demonstration: a page in the browser and a widget in notebooks that caption pictures and show each step.

`steps` follows a caption word by word, `demo` answers the questions of the page and the widget, `examples` finds models
and pictures to offer, `server` serves the page on this computer. `static/demo.js` is the front end of both. The widget
itself is in `utils/widget.py`, since only notebooks use it.
"""
