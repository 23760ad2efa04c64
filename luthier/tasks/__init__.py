"""What is learned, one file each."""
from luthier.tasks.causal_lm import CausalLM
from luthier.tasks.chat import Chat
from luthier.tasks.classification import Classification
from luthier.tasks.masked_lm import MaskedLM
from luthier.tasks.regression import Regression
from luthier.tasks.seq2seq import Seq2Seq
from luthier.tasks.token_classification import TokenClassification

TASKS = {
    "causal_lm": CausalLM,
    "chat": Chat,
    "masked_lm": MaskedLM,
    "classification": Classification,
    "regression": Regression,
    "token_classification": TokenClassification,
    "seq2seq": Seq2Seq,
}
