"""Before the first run: presets, and the preset for a file of one's own.

May import data and core.
"""
