"""Every answer of a real server against the hosted API's public OpenAPI document: which routes, how many answers, what is invalid and where.

    git clone --depth 1 https://github.com/openai/openai-openapi /tmp/openapi
    python benchmarks/openapi.py /tmp/openapi/openapi.yaml

The document is no part of this project. A server is started on 127.0.0.1 over a tiny network of random weights and asked for everything that it
has of that API: chat, completions, embeddings, models, streams, likelihoods, tools, errors, files, jobs with their events and checkpoints. The
check is itself checked: of every kind of answer that was valid, each field that must be there is taken away and then given a wrong value, and each
such answer has to be found invalid.
"""
import argparse
import base64
import copy
import http.client
import json
import os
import re
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jsonschema
import yaml
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from benchmarks.serving import Server, make_model

HOME = "urn:openapi"
ERROR = {"$ref": f"{HOME}#/components/schemas/ErrorResponse"}
CONTRADICTED = {
    ("/fine_tuning/jobs", "status", "paused"): "its enumeration of a job's status lacks paused, which its own example of pausing answers",
    ("/completions", "finish_reason", None): "its enumeration of how a completion ended lacks null, which its own example of a stream holds",
}
"""Where the document's schemas contradict its own examples: beginning of the route, field, value. Counted and told apart."""
TEMPLATE = """{{ bos_token }}{% if tools %}<|system|>{{ tools | tojson }}<|end|>{% endif %}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] or '' }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"""


# ---- the document -------------------------------------------------------------------------------
def modern(value):
    """A schema as JSON Schema 2020-12: `nullable` and boolean bounds, left over from older versions in a document that says 3.1, in today's words."""
    if isinstance(value, list):
        return [modern(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {name: modern(item) for name, item in value.items()}
    for new, old in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(found.get(new), bool) and "type" in found:
            bound = found.pop(old)
            found[new if found.pop(new) else old] = bound
    if found.get("nullable") is True and ("type" in found or "$ref" in found):
        del found["nullable"]
        return {"anyOf": [found, {"type": "null"}]}
    return found


class Document:
    """The schemas of a public API, by route."""

    def __init__(self, text: str):
        loaded = yaml.load(text, Loader=yaml.CSafeLoader)  # the safe loader, in C
        loaded["components"], self.paths = modern(loaded["components"]), loaded["paths"]
        self.version = loaded["info"]["version"]
        self.registry = Registry().with_resource(HOME, DRAFT202012.create_resource(loaded))

    def route(self, method: str, path: str) -> str:
        """The route that a path belongs to, the one with the fewest places for names first; KeyError where the document has none."""
        for template in sorted(self.paths, key=lambda template: template.count("{")):
            if method.lower() in self.paths[template] and re.fullmatch(re.sub(r"\\{[^}]*\\}", "[^/]+", re.escape(template)), path):
                return template
        raise KeyError(f"the document has no {method} {path}")

    def schema(self, method: str, route: str, status: int, kind: str) -> dict:
        """The schema of an answer; that of errors for every status from 400 on."""
        if status >= 400:
            return ERROR
        found = self.paths[route][method.lower()]["responses"][str(status)]["content"]
        return modern(within(found[kind if kind in found else "application/json"]["schema"]))

    def wrong(self, schema: dict, value) -> list[tuple[str, str]]:
        """Place and reason of everything that is wrong with a value."""
        validator = jsonschema.Draft202012Validator(schema, registry=self.registry)
        return [(".".join(map(str, leaf.absolute_path)), leaf.message[:200]) for error in validator.iter_errors(value) for leaf in [deepest(error)]]

    def required(self, schema: dict) -> list[str]:
        """Fields that must stand at the top of an answer."""
        while "$ref" in schema:
            schema = self.registry.resolver().lookup(schema["$ref"]).contents
        return schema.get("required", [])


def within(value):
    """References inside the document, from a schema outside of it."""
    if isinstance(value, list):
        return [within(item) for item in value]
    if isinstance(value, dict):
        return {name: HOME + item if name == "$ref" else within(item) for name, item in value.items()}
    return value


def deepest(error: jsonschema.ValidationError) -> jsonschema.ValidationError:
    """Of alternatives that all fail, the one that was nearest."""
    while error.context:
        error = jsonschema.exceptions.best_match([error]) if error.validator not in ("anyOf", "oneOf") else max(error.context, key=lambda inner: len(inner.absolute_path))
    return error


# ---- what was asked -----------------------------------------------------------------------------
@dataclass
class Tally:
    """Answers by route, and what is wrong with them."""

    document: Document
    answers: Counter = field(default_factory=Counter)
    invalid: list[str] = field(default_factory=list)
    contradicted: Counter = field(default_factory=Counter)
    valid: dict[tuple, tuple[dict, dict]] = field(default_factory=dict)
    """One valid answer of every kind, with its schema."""

    def take(self, method: str, path: str, status: int, value, kind: str = "application/json") -> None:
        """Hold one answer to the document."""
        route = self.document.route(method, path)
        schema = self.document.schema(method, route, status, kind)
        self.answers[f"{method} {route}"] += 1
        wrong = [(place, why) for place, why in dict(self.document.wrong(schema, value)).items() if not self.excused(route, place, value)]
        self.invalid += [f"{method} {route} {status}: {place or 'the answer'}: {why}" for place, why in wrong]
        if not wrong:
            self.valid.setdefault((method, route, status >= 400, kind), (schema, value))

    def excused(self, route: str, place: str, value) -> bool:
        """Whether the document itself writes such a value in its examples."""
        for part in place.split(".") if place else ():
            value = value[int(part)] if isinstance(value, list) else value[part]
        for (beginning, name, odd), why in CONTRADICTED.items():
            if route.startswith(beginning) and place.rsplit(".", 1)[-1] == name and value == odd:
                self.contradicted[why] += 1
                return True
        return False

    def planted(self) -> tuple[int, list[str]]:
        """Deviations put into valid answers, and those that were not found."""
        count, missed = 0, []
        for (method, route, *_), (schema, value) in self.valid.items():
            for name in self.document.required(schema) if isinstance(value, dict) else ():
                other_type = {"planted": 1} if isinstance(value[name], list) else [["planted"]]
                for broken in ({other: item for other, item in value.items() if other != name}, {**copy.deepcopy(value), name: other_type}):
                    count += 1
                    if not self.document.wrong(schema, broken):
                        missed.append(f"{method} {route}: {name}")
        return count, missed


class Asker:
    """A client that gives every answer to the tally."""

    def __init__(self, port: int, tally: Tally):
        self.port, self.tally = port, tally

    def __call__(self, method: str, path: str, body: dict | bytes | None = None, *, status: int = 200, kind: str = "application/json"):
        """One answer, whole."""
        told, text = self.send(method, path, body, kind)
        if told != status:
            raise SystemExit(f"{method} {path}: {told} instead of {status}: {text[:300]}")
        value = text if path.endswith("/content") and told == 200 else json.loads(text)
        self.tally.take(method, path.split("?")[0], told, decoded(value) if path == "/embeddings" else value)
        return value

    def send(self, method: str, path: str, body: dict | bytes | None, kind: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, f"/v1{path}", json.dumps(body) if isinstance(body, dict) else body, {} if body is None else {"Content-Type": kind})
        answer = connection.getresponse()
        found = answer.status, answer.read().decode()
        connection.close()
        return found

    def upload(self, name: str, rows: bytes, *, purpose: str = "fine-tune", status: int = 200) -> str:
        """Put a file there; its id."""
        lines = ["--edge", 'Content-Disposition: form-data; name="purpose"', "", purpose, "--edge", f'Content-Disposition: form-data; name="file"; filename="{name}"', "Content-Type: application/octet-stream", "", ""]
        found = self("POST", "/files", "\r\n".join(lines).encode() + rows + b"\r\n--edge--\r\n", status=status, kind="multipart/form-data; boundary=edge")
        return found.get("id", "")

    def stream(self, path: str, body: dict) -> list[dict]:
        """The chunks of one stream, each held to the document."""
        status, text = self.send("POST", path, {**body, "stream": True}, "application/json")
        chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
        for chunk in chunks:
            self.tally.take("POST", path, 400 if "error" in chunk else status, chunk, "text/event-stream")
        return chunks


def decoded(value: dict) -> dict:
    """Embeddings as a client sees them: bytes in base64 are numbers. The document describes the numbers only."""
    for item in value.get("data", ()):
        if isinstance(item["embedding"], str):
            raw = base64.b64decode(item["embedding"])
            item["embedding"] = list(struct.unpack(f"<{len(raw) // 4}f", raw))
    return value


# ---- the questions ------------------------------------------------------------------------------
ASKED = [{"role": "user", "content": "Where is the violin?"}]
TOOL = {"type": "function", "function": {"name": "find", "description": "Finds a thing.", "parameters": {"type": "object", "properties": {"thing": {"type": "string"}}}}}
CALL = {"type": "object", "properties": {"name": {"const": "find"}, "arguments": {"type": "object", "properties": {"thing": {"enum": ["violin", "drum"]}}, "required": ["thing"], "additionalProperties": False}}, "required": ["name", "arguments"], "additionalProperties": False}


def ask_for_text(ask: Asker, model: str) -> None:
    """Chat and completions, whole and streamed, with everything that may stand in them."""
    chat = {"model": model, "messages": ASKED, "max_tokens": 12, "seed": 1}
    called = {"tools": [TOOL], "response_format": {"type": "json_schema", "json_schema": {"name": "call", "schema": CALL}}, "max_tokens": 60}
    for more in ({}, {"n": 3}, {"logprobs": True, "top_logprobs": 3}, {"logprobs": True}, {"temperature": 0, "stop": ["e"]}, {"response_format": {"type": "json_object"}, "max_tokens": 40}, called, {**called, "n": 2, "logprobs": True}):
        whole = ask("POST", "/chat/completions", {**chat, **more})
        ask.stream("/chat/completions", {**chat, **more})
        chunks = ask.stream("/chat/completions", {**chat, **more, "stream_options": {"include_usage": True}})
        if "tools" in more and not (whole["choices"][0]["message"].get("tool_calls") and any(choice["delta"].get("tool_calls") for chunk in chunks for choice in chunk["choices"])):
            raise SystemExit("no tool was called: the answers with calls were not checked")
    plain = {"model": model, "prompt": "The violin", "max_tokens": 8, "seed": 1}
    for more in ({}, {"n": 2}, {"logprobs": 2}, {"logprobs": 0}, {"prompt": ["The violin", "A drum"]}, {"prompt": [5, 6, 7]}, {"stop": "a"}):
        ask("POST", "/completions", {**plain, **more})
        ask.stream("/completions", {**plain, **more})
        ask.stream("/completions", {**plain, **more, "stream_options": {"include_usage": True}})
    for more in ({}, {"input": ["one", "two words"]}, {"encoding_format": "base64"}, {"input": [[5, 6], [7]]}):
        ask("POST", "/embeddings", {"model": model, "input": "a violin", **more})


def ask_for_refusals(ask: Asker, model: str) -> None:
    """Errors of every route: unknown names, numbers out of range, things that are not there."""
    chat = {"model": model, "messages": ASKED}
    for more in ({"temperature": 9}, {"store": True}, {"n": 10**6}, {"messages": []}, {"max_tokens": 10**5}, {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}}}}, {"stream": True, "top_p": 3}):
        ask("POST", "/chat/completions", {**chat, **more}, status=400)
    ask("POST", "/chat/completions", {**chat, "model": "nobody"}, status=404)
    ask("POST", "/chat/completions", b"{", status=400)
    ask("POST", "/chat/completions", b"hello", status=415, kind="text/plain")
    ask("POST", "/completions", {"model": model, "prompt": [10**9]}, status=400)
    ask("POST", "/embeddings", {"model": model, "input": []}, status=400)
    ask("GET", "/models/nobody", status=404)
    ask("DELETE", f"/models/{model}", status=409)
    ask("GET", "/files/file-none", status=404)
    ask("DELETE", "/files/file-none", status=404)
    ask.upload("a.jsonl", b"{}", purpose="assistants", status=400)
    ask("GET", "/fine_tuning/jobs/ftjob-none", status=404)
    ask("GET", "/fine_tuning/jobs/ftjob-none/events", status=404)
    ask("POST", "/fine_tuning/jobs/ftjob-none/cancel", status=404)
    ask("POST", "/fine_tuning/jobs", {"model": model, "training_file": "file-none"}, status=400)
    ask("GET", "/fine_tuning/jobs?limit=0", status=400)


def rows_of(kind: str) -> bytes:
    """Training rows of a method."""
    def row(number: int) -> dict:
        asked, good, bad = [{"role": "user", "content": f"where is harp {number}?"}], [{"role": "assistant", "content": f"harp {number} is here"}], [{"role": "assistant", "content": "go away"}]
        return {"messages": asked + good} if kind == "supervised" else {"input": {"messages": asked}, "preferred_output": good, "non_preferred_output": bad}

    return "".join(json.dumps(row(number)) + "\n" for number in range(64)).encode()


def ask_for_tuning(ask: Asker, model: str) -> None:
    """Files and jobs through all their states, with events and checkpoints at every look."""
    ask("GET", "/files")
    ask("GET", "/fine_tuning/jobs")
    kept = {kind: ask.upload(f"{kind}.jsonl", rows_of(kind)) for kind in ("supervised", "dpo")}
    broken = ask.upload("broken.jsonl", rows_of("supervised") + b"{not json}\n")
    for path in ("/files", "/files?limit=1", f"/files/{broken}", f"/files/{broken}/content"):
        ask("GET", path)
    settings = {"n_epochs": 1, "batch_size": 16, "learning_rate_multiplier": 1.5}
    create = lambda **more: ask("POST", "/fine_tuning/jobs", {"model": model, "seed": 3, **more})["id"]
    jobs = [
        create(training_file=kept["supervised"], suffix="shop", metadata={"who": "me"}, method={"type": "supervised", "supervised": {"hyperparameters": settings}}),
        create(training_file=kept["dpo"], method={"type": "dpo", "dpo": {"hyperparameters": {**settings, "beta": 0.2}}}), create(training_file=broken), create(training_file=kept["supervised"], validation_file=kept["supervised"], hyperparameters={"n_epochs": 1}),
    ]
    ask("POST", f"/fine_tuning/jobs/{jobs[-1]}/pause")
    ask("POST", f"/fine_tuning/jobs/{jobs[-1]}/resume")
    ask("POST", f"/fine_tuning/jobs/{jobs[-1]}/pause")
    ask("POST", f"/fine_tuning/jobs/{jobs[-1]}/cancel")
    ask("POST", f"/fine_tuning/jobs/{jobs[-1]}/cancel", status=400)
    ask("DELETE", f"/files/{kept['dpo']}", status=409)
    for number in jobs[:3]:
        end = time.monotonic() + 240
        while (told := ask("GET", f"/fine_tuning/jobs/{number}"))["status"] not in ("succeeded", "failed") and time.monotonic() < end:
            look_at_job(ask, number)
            time.sleep(1)
        look_at_job(ask, number)
        print(f"  a job ended: {told['status']}{': ' + told['error']['message'] if told['error'] else ''}", flush=True)
        for result in told["result_files"]:
            ask("GET", f"/files/{result}")
            ask("GET", f"/files/{result}/content")
    if told["status"] != "failed" or ask("GET", f"/fine_tuning/jobs/{jobs[0]}")["status"] != "succeeded":
        raise SystemExit("the jobs did not end as they should: their answers were not checked")
    leave(ask, jobs[0], broken)


def look_at_job(ask: Asker, number: str) -> None:
    for path in (f"/fine_tuning/jobs/{number}/events", f"/fine_tuning/jobs/{number}/events?limit=2", f"/fine_tuning/jobs/{number}/checkpoints", "/fine_tuning/jobs?limit=2"):
        ask("GET", path)


def leave(ask: Asker, job: str, file: str) -> None:
    """The tuned model answers, and goes; so does a file."""
    tuned = ask("GET", f"/fine_tuning/jobs/{job}")["fine_tuned_model"]
    end = time.monotonic() + 60
    while tuned not in [model["id"] for model in ask("GET", "/models")["data"]] and time.monotonic() < end:
        time.sleep(0.2)
    ask("POST", "/chat/completions", {"model": tuned, "messages": ASKED, "max_tokens": 4})
    ask("GET", f"/models/{tuned}")
    ask("DELETE", f"/models/{tuned}")
    ask("DELETE", f"/files/{file}")


# ---- all of it ----------------------------------------------------------------------------------
def told(tally: Tally) -> Iterator[str]:
    """What was found, in lines."""
    for route, count in sorted(tally.answers.items()):
        yield f"  {route}: {count} answers"
    for line, count in Counter(tally.invalid).most_common():
        yield f"  INVALID {count} times: {line}"
    for why, count in tally.contradicted.items():
        yield f"  the document contradicts itself, {count} times: {why}"
    count, missed = tally.planted()
    yield from (f"  PLANTED AND NOT FOUND: {line}" for line in missed)
    yield f"{len(tally.answers)} routes, {sum(tally.answers.values())} answers, {len(tally.invalid)} things invalid; planted deviations found: {count - len(missed)} of {count}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("document", type=Path)
    parser.add_argument("--port", type=int, default=8741)
    parser.add_argument("--without-jobs", action="store_true", help="leave files and jobs out, which need a minute of training")
    wanted = parser.parse_args()
    tally = Tally(Document(wanted.document.read_text(encoding="utf-8")))
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_model("tiny", Path(scratch) / "model")
        (folder / "chat_template.jinja").write_text(TEMPLATE)
        os.environ["OMP_NUM_THREADS"] = "1"
        server = Server([sys.executable, "-m", "luthier", "serve", str(folder), "--port", str(wanted.port), "-q"], wanted.port, "/health/ready")
        try:
            ask = Asker(wanted.port, tally)
            ask("GET", "/models")
            ask("GET", "/models/model")
            ask_for_text(ask, "model")
            if not wanted.without_jobs:
                ask_for_refusals(ask, "model")
                ask_for_tuning(ask, "model")
        finally:
            server.stop()
    lines = list(told(tally))
    print(f"openai-openapi {tally.document.version}", *lines, sep="\n")
    raise SystemExit(1 if tally.invalid or tally.planted()[1] else 0)


if __name__ == "__main__":
    main()
