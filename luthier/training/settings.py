"""How a run trains: steps, rate, batch, precision, when to look and when to save."""
from dataclasses import dataclass
from typing import Literal

Auto = Literal["auto"]


@dataclass
class TrainingSettings:
    """Training. Every `auto` becomes a number that is printed with its reason and stored in config.resolved.yaml."""

    epochs: float | Auto = "auto"
    """Passes over the training split."""
    max_steps: int | None = None
    """Stop after this many optimizer steps, whatever `epochs` says."""
    learning_rate: float | Auto = "auto"
    """Peak learning rate."""
    head_learning_rate: float | Auto = "auto"
    """Peak learning rate of weights that no file held, such as a new output layer; 0: the learning rate, as for all others."""
    head_start: Literal["probe", "random"] = "probe"
    """Where a new output layer of labels, tags or numbers starts: at the linear probe of the base over the training rows, or at random numbers."""
    schedule: Literal["linear", "cosine", "constant"] = "cosine"
    """How the rate falls after the warm-up."""
    warmup: float = 0.05
    """Share of the steps over which the rate rises from 0; a number of 1 or more counts steps."""
    batch_size: int | Auto = "auto"
    """Examples per optimizer step."""
    tokens_per_micro_batch: int | Auto = "auto"
    """Most tokens in one forward pass, padding included; smaller needs less memory and changes nothing else."""
    packing: bool | Auto = "auto"
    """Several examples in one row of `context` tokens, none of which sees another."""
    group_by_length: bool | Auto = "auto"
    """Examples of like length in one step, against padding; without it a step's examples are drawn by lot, and only its micro-batches go by length."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Numbers of the forward pass; weights that learn stay in fp32."""
    weight_decay: float = 0.0
    """AdamW's decay of matrices; norms and biases never decay."""
    beta1: float = 0.9
    """AdamW's memory of the gradient."""
    beta2: float = 0.999
    """AdamW's memory of its square."""
    epsilon: float = 1e-8
    """AdamW's guard against division by zero."""
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw", "paged_adamw_8bit"] = "adamw"
    """adamw_8bit keeps the two moments of large tensors in 8 bits, a quarter of their memory; paged ones may leave a GPU that is full. Both need bitsandbytes."""
    clip: float = 1.0
    """Largest gradient norm; 0 leaves gradients as they are."""
    l2_to_start: float = 0.0
    """Strength of the pull of learned weights back to where they started, against forgetting; 0 leaves it out."""
    kl_to_base: float = 0.0
    """Strength of the pull of predictions back to the base's, at the learned tokens, against forgetting; costs another forward pass; 0 leaves it out."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    evaluate_every: int | Auto = "auto"
    """Steps between looks at the validation split."""
    validation_rows: int = 200
    """Most validation rows whose answers are scored by the task's metric at each look; the loss uses all rows."""
    save_every: int | Auto = "auto"
    """Steps between checkpoints."""
    keep_checkpoints: int = 2
    """Checkpoints kept besides the best; the newest that verifies is never removed."""
    early_stopping: int = 3
    """Stop after this many looks in a row without a better validation loss; 0 never stops early."""
    max_nonfinite: int = 3
    """Steps in a row with a non-finite loss or gradient after which the run stops."""
    threads: int | Auto = "auto"
    """CPU threads; part of what makes a run repeat bit for bit."""
