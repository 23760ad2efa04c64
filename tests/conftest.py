"""What every test may stand on: a byte-level tokenizer and tiny networks with random weights, as folders on a disk, made once."""
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # several workers with several threads each wait for each other's cores; the programs that tests start inherit this
    os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent))

from tiny_models import ENCODERS, SHAPES, SPECIAL, TEMPLATE  # noqa: E402  (found through the line above)


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Real data and models beside the repository; tests that need them are skipped where they are absent."""
    named = os.environ.get("LUTHIER_TEST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set LUTHIER_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def byte_tokenizer():
    """One token per byte and a few special ones; a chat template with generation marks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", bos_token="<|bos|>", eos_token="<|eos|>", model_max_length=256, chat_template=TEMPLATE,
        additional_special_tokens=SPECIAL[3:],
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory, byte_tokenizer):
    """A function from a name of CONFIGURATIONS to a model folder with random weights."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("models") / name
            write_model(made[name], name, byte_tokenizer)
        return made[name]

    return make


def write_model(folder: Path, name: str, tokenizer) -> None:
    """Save a tiny network whose random weights are large enough for its answers to differ, and its tokenizer."""
    import torch
    import transformers

    config_class, fields = SHAPES[name]
    config = getattr(transformers, config_class)(**fields)
    config.eos_token_id = tokenizer.eos_token_id
    config.bos_token_id = tokenizer.bos_token_id
    auto = transformers.AutoModelForMaskedLM if name in ENCODERS else transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(name))
        network = auto.from_config(config)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            for name, parameter in network.named_parameters():
                if name.endswith("bias"):
                    parameter.add_(0.3 * torch.randn_like(parameter))
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="session")
def tiny_llama(tiny_model) -> Path:
    """A folder with a two-layer Llama of random weights, tied, and the byte tokenizer."""
    return tiny_model("llama")


@pytest.fixture(scope="session")
def tiny_bert(tiny_model) -> Path:
    """A folder with a two-layer BERT (masked-LM weights, random) and the byte tokenizer."""
    return tiny_model("bert")


def pytest_terminal_summary(terminalreporter):
    """What tests recorded as figures, as the table that dev/nightly.md keeps; not in the quick run."""
    if terminalreporter.config.option.markexpr == "not nightly":
        return
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, []) if report.when == "call"]
    rows = sorted((*value, f"{report.duration:.0f} s", report.outcome) for report in reports for name, value in report.user_properties if name == "figure")
    if rows:
        terminalreporter.section("figures")
        for row in [("row", "what", "figure", "time", "outcome"), ("---",) * 5, *rows]:
            terminalreporter.write_line("| " + " | ".join(row) + " |")
