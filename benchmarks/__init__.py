"""How fast each part of the course is, compared with what people would use instead: `make bench`."""
