"""Texts and people's answers: fetching, reading files, drawing texts.

May import core.
"""
