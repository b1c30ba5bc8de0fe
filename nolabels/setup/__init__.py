"""Before the first run: presets, and the preset for a file of one's own.

May import data and core.

    presets, merging       `nolabels.preset`: files of presets, and how one is laid over params.yaml
    checks                 `nolabels.start`: what it refuses
    formats, head, columns what a file holds: its format, its first rows, its column of texts
    classes, terminal      what the person says
    sizes, draft           the sizes that fit, and the text of the preset
"""
