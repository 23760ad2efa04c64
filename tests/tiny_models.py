"""The shapes of the tiny networks that tests build, one for each family, and what their byte-level tokenizer has beside the bytes."""

SPECIAL = ["<|pad|>", "<|bos|>", "<|eos|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
VOCABULARY = 256 + len(SPECIAL)
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|end|>{% endgeneration %}"
    "{% else %}{{ message.content }}<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

WIDTHS = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 256}
PLAIN = {"vocab_size": VOCABULARY, "hidden_size": 32, "max_position_embeddings": 256}
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
    "phi3": ("Phi3Config", {**WIDTHS, "num_key_value_heads": 2, "pad_token_id": 0}),
    "falcon": ("FalconConfig", {**PLAIN, "num_hidden_layers": 2, "num_attention_heads": 4, "new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False}),
    "falcon_alibi": ("FalconConfig", {**PLAIN, "num_hidden_layers": 2, "num_attention_heads": 4, "multi_query": False, "alibi": True, "parallel_attn": False, "bias": True}),
    "opt": ("OPTConfig", {**PLAIN, "ffn_dim": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 32, "dropout": 0.0, "pad_token_id": 0}),
    "bloom": ("BloomConfig", {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "mixtral": ("MixtralConfig", {**WIDTHS, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen3_moe": ("Qwen3MoeConfig", {**WIDTHS, "num_key_value_heads": 2, "head_dim": 8, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}),
    "gpt_oss": ("GptOssConfig", {**WIDTHS, "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 64}),
    "deepseek_v3": ("DeepseekV3Config", {
        **WIDTHS, "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1,
        "kv_lora_rank": 8, "q_lora_rank": 12, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8,
    }),
    "bert": ("BertConfig", {**WIDTHS, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}),
    "roberta": ("RobertaConfig", {**WIDTHS, "pad_token_id": 0, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}),
    "distilbert": ("DistilBertConfig", {"vocab_size": VOCABULARY, "dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 256, "dropout": 0.0}),
    "deberta": ("DebertaV2Config", {
        **WIDTHS, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 16, "norm_rel_ebd": "layer_norm", "share_att_key": True, "pooler_hidden_size": 32,
        "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
    }),
    "modernbert": ("ModernBertConfig", {**WIDTHS, "pad_token_id": 0, "local_attention": 64, "cls_token_id": 1, "sep_token_id": 2}),
}
ENCODER_DECODERS = {
    "t5": ("T5Config", {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4, "dropout_rate": 0.0, "decoder_start_token_id": 0, "pad_token_id": 0}),
    "bart": ("BartConfig", {"vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 256, "dropout": 0.0, "decoder_start_token_id": 2, "pad_token_id": 0, "forced_eos_token_id": None, "forced_bos_token_id": None}),
}
"""Shapes of networks that read one text and write another."""
ENCODERS = ("bert", "roberta", "distilbert", "deberta", "modernbert")

NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
BART = {**ENCODER_DECODERS["bart"][1]}
FURTHER = {  # one for each architecture that the tests above leave out; the matrix of contracts takes them all
    "smollm3": ("SmolLM3Config", {**WIDTHS, "num_key_value_heads": 2, "pad_token_id": 0}),
    "olmo": ("OlmoConfig", {**WIDTHS, "num_key_value_heads": 2, "pad_token_id": 0}),
    "olmo2": ("Olmo2Config", {**WIDTHS, "num_key_value_heads": 2, "pad_token_id": 0}),
    "stablelm": ("StableLmConfig", {**WIDTHS, "num_key_value_heads": 2}),
    "ministral": ("MinistralConfig", {**WIDTHS, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 64}),
    "gemma3_text": ("Gemma3TextConfig", {**WIDTHS, "num_key_value_heads": 2, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 64}),
    "deepseek_v2": ("DeepseekV2Config", {
        **WIDTHS, "moe_intermediate_size": 16, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1,
        "kv_lora_rank": 8, "q_lora_rank": 12, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8, "head_dim": 4,
    }),
    "electra": ("ElectraConfig", {**WIDTHS, "embedding_size": 32, **NO_DROPOUT}),
    "xlm-roberta": ("XLMRobertaConfig", {**WIDTHS, "pad_token_id": 0, **NO_DROPOUT}),
    "camembert": ("CamembertConfig", {**WIDTHS, "pad_token_id": 0, **NO_DROPOUT}),
    "deberta_v1": ("DebertaConfig", {**WIDTHS, "relative_attention": True, "pos_att_type": "c2p|p2c", "max_relative_positions": -1, "pooler_hidden_size": 32, **NO_DROPOUT}),
    "mt5": ("MT5Config", {**ENCODER_DECODERS["t5"][1], "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}),
    "pegasus": ("PegasusConfig", {**BART}),
    "mbart": ("MBartConfig", {**BART}),
}
ENCODERS += ("electra", "xlm-roberta", "camembert", "deberta_v1")
SHAPES = {**CONFIGURATIONS, **ENCODER_DECODERS, **FURTHER}
"""Every tiny network by its name."""
