"""Figures for Prometheus, under vLLM's stems: the labels are names of models that exist, so their number is bounded."""
import contextlib
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384)


class Figures:
    """The counters of one server."""

    def __init__(self):
        self.registry = CollectorRegistry()
        self.running = Gauge("luthier_num_requests_running", "Texts being written", registry=self.registry)
        self.waiting = Gauge("luthier_num_requests_waiting", "Requests in the queue", registry=self.registry)
        self.read = Counter("luthier_prompt_tokens", "Prompt tokens read", ["model_name"], registry=self.registry)
        self.written = Counter("luthier_generation_tokens", "Tokens written", ["model_name"], registry=self.registry)
        self.ended = Counter("luthier_request_success", "Answers by how they ended", ["model_name", "finished_reason"], registry=self.registry)
        self.first = Histogram("luthier_time_to_first_token_seconds", "Until the first piece of a stream", ["model_name"], buckets=SECONDS, registry=self.registry)
        self.whole = Histogram("luthier_e2e_request_latency_seconds", "Whole requests", ["model_name"], buckets=SECONDS, registry=self.registry)
        self.prompt = Histogram("luthier_request_prompt_tokens", "Tokens of a prompt", ["model_name"], buckets=TOKENS, registry=self.registry)
        self.answer = Histogram("luthier_request_generation_tokens", "Tokens of an answer", ["model_name"], buckets=TOKENS, registry=self.registry)
        self.labelled = Counter("luthier_labels", "Texts that were to be labelled, by whether the model abstained", ["model_name", "abstained"], registry=self.registry)
        self.http = Counter("http_requests", "Requests by route, method and status", ["handler", "method", "status"], registry=self.registry)

    @contextlib.contextmanager
    def request(self, model: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.whole.labels(model).observe(time.monotonic() - began)

    def wrote(self, model: str, usage: dict, finishes: list[str]) -> None:
        """One request has its answers."""
        self.read.labels(model).inc(usage["prompt_tokens"])
        self.written.labels(model).inc(usage["completion_tokens"])
        self.prompt.labels(model).observe(usage["prompt_tokens"])
        self.answer.labels(model).observe(usage["completion_tokens"])
        for finish in finishes:
            self.ended.labels(model, finish or "cancelled").inc()

    def judged(self, model: str, silent: int, texts: int) -> None:
        """So many of these texts got no label because the model abstained."""
        self.labelled.labels(model, "yes").inc(silent)
        self.labelled.labels(model, "no").inc(texts - silent)

    def page(self, engine, prefix: str = "luthier_") -> bytes:
        """The text that Prometheus reads; another prefix re-emits the same series for dashboards that expect it."""
        self.running.set(len(engine.running))
        self.waiting.set(len(engine.queue))
        text = generate_latest(self.registry)
        return text if prefix == "luthier_" else text.replace(b"luthier_", prefix.encode())
