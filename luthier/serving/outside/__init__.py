"""Engines in processes of their own, one file each: the same API stands before them."""
from luthier.serving.outside.kind import Kind
from luthier.serving.outside.llamacpp import LlamaCpp
from luthier.serving.outside.vllm import VLLM

OUTSIDE: dict[str, Kind] = {"vllm": VLLM(), "llamacpp": LlamaCpp()}
