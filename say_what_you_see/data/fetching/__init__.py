"""How a file gets here from a server, whole, whatever happens on the way; `say_what_you_see.data.resources` is what callers use."""
