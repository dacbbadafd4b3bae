"""`say-what-you-see demo`: caption pictures on a page in the browser."""

import argparse
import webbrowser

from say_what_you_see.core.settings import Settings


def demo(settings: Settings, options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    print("Loading the model ...", flush=True)  # before the imports, which take seconds
    from say_what_you_see.page.examples import make_demo
    from say_what_you_see.page.server import DemoServer
    from say_what_you_see.serving.model_choice import find_model

    server = DemoServer(
        make_demo(settings, find_model(options.model, settings) if options.model else None), options.port
    ).start()
    print(f"The page is at {server.url}\nOnly this computer can open it. Press Ctrl-C to stop.", flush=True)
    try:
        if not options.no_browser:
            webbrowser.open(server.url)
        server.wait()
    except KeyboardInterrupt:
        print("\nStopped.")
    finally:
        server.stop()
    return 0
