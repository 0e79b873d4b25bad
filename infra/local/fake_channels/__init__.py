"""A fake channel server for tests and the demo: it speaks the channels' real contracts, refusals included."""
