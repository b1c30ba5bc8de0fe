"""From raw scores to labels, without people's answers: calibration, groups, several teachers, forecast.

May import teachers, data and core.
"""
