"""How fast each part of the course is, side by side with what people would use instead: `make bench`."""
