"""The paper's study of pneumonia classifiers: specs, data, models, training, scores, verdicts and
figures.
"""
