"""How a file gets here from a server, whole, whatever happens on the way; `utils.downloads` is what callers use."""
