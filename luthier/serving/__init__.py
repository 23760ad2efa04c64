"""A tuned model behind an OpenAI-compatible API; many adapters on one base; fine-tuning jobs; export with a parity gate."""
