"""The same work done in the ways that people use instead of the course, each as good as its style allows."""
