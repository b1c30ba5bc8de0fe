"""From raw scores to labels, without people's answers: calibration, clusters of embeddings, several teachers, forecast.

May import teachers, data and core.
"""
