"""From raw scores to labels, without people's answers: calibration, clusters of embeddings, several teachers, forecast.

May import teachers, data and core.

    calibration            methods, as functions of scores (another one is added here)
    fitting                the method that label.calibration asks for, applied to one teacher
    panel                  several teachers as one
    refining               encoders refined by their embeddings
    groups                 clusters of embeddings
    shares                 label.prior: auto
    forecast               accuracy without gold
"""
