"""Fine-tuning jobs: a durable queue, and the processes that work it off over run folders. Nothing here needs torch."""
