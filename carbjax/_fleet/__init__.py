"""Many backends at once: the engine and streaming attribution in lanes, slice by slice."""
