"""Under everything: the frame of a stage, parameters, tables, labels, model folders.

Small and stable. Imports no other package of the project.
"""
