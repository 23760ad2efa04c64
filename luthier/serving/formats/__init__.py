"""Copies of a tuned model, one file per format: how it is written, and how it is opened again to be compared."""
from luthier.serving.formats.gguf import Gguf
from luthier.serving.formats.merged import Merged
from luthier.serving.formats.ollama import Ollama
from luthier.serving.formats.onnx import Onnx
from luthier.serving.formats.peft import Peft

FORMATS = {"merged": Merged, "peft": Peft, "gguf": Gguf, "ollama": Ollama, "onnx": Onnx}
