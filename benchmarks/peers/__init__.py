"""The same work, done in the ways that people use instead of the course, each as well as its style allows."""
