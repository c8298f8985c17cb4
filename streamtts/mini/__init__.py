"""mini: the embedded demonstration checkpoint and the code that makes it; running it needs none of this code."""
