"""Documents to passages for a question: the R of RAG, for evaluation and for serving."""
