"""The shapes of the tiny networks that tests build, one for each family, and what their byte-level tokenizer has beside the bytes."""

SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
VOCABULARY = 256 + len(SPECIAL)
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

WIDTHS = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}
CONFIGURATIONS = {
    "llama": ("LlamaConfig", {**WIDTHS, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "llama_untied": ("LlamaConfig", {**WIDTHS, "num_key_value_heads": 2, "tie_word_embeddings": False}),
    "gpt2": ("GPT2Config", {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}),
    "qwen2": ("Qwen2Config", {**WIDTHS, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3Config", {**WIDTHS, "num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": False}),
    "mistral": ("MistralConfig", {**WIDTHS, "num_key_value_heads": 2, "sliding_window": 64}),
    "gemma": ("GemmaConfig", {**WIDTHS, "num_key_value_heads": 1, "head_dim": 8}),
    "gemma2": ("Gemma2Config", {**WIDTHS, "num_key_value_heads": 2, "head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 5.0, "sliding_window": 64}),
    "granite": ("GraniteConfig", {**WIDTHS, "num_key_value_heads": 2, "logits_scaling": 3.0}),
    "gpt_neox": ("GPTNeoXConfig", {**WIDTHS}),
    "phi": ("PhiConfig", {**WIDTHS, "num_key_value_heads": 4}),
    "bert": ("BertConfig", {**WIDTHS, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}),
    "roberta": ("RobertaConfig", {**WIDTHS, "pad_token_id": 0, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}),
    "distilbert": ("DistilBertConfig", {"vocab_size": VOCABULARY, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 256, "dropout": 0.0}),
}
ENCODERS = ("bert", "roberta", "distilbert")
