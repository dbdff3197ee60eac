"""Thin docks: they collect what the core needs, run it in a thread, and show what it gave."""
