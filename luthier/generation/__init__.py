"""One way to get text, and the likelihood of labels, from a model."""
