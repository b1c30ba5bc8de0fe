"""From raw scores to labels, without people's answers: calibration, clusters of embeddings, several teachers, forecast.

May import teachers, data and core.

calibration, fitting: of one teacher; panel: several as one; groups: refinement; shares: label.prior auto; forecast.
"""
