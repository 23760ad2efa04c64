"""A stand-in for vLLM and llama.cpp's server: their HTTP over real sockets, and texts that are a function of everything that was asked.

Started as `vllm serve FOLDER ...` or `llama-server --model FILE ...` it reads the same argument lists; in a test it also runs in a thread.
"""
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tokenizers import Tokenizer


class Engine(BaseHTTPRequestHandler):
    """One engine; a test makes a subclass with other class attributes."""

    protocol_version = "HTTP/1.1"
    names: tuple[str, ...] = ("base",)
    key: str | None = None
    tokenizer: Tokenizer | None = None
    shift = 0
    """Added to every id of /tokenize: another vocabulary."""
    answers: dict[str, str] = {}
    """What is written after a prompt, by its ids; else words made of what was asked."""
    pause = 0.0
    """Seconds between two pieces."""
    status = 200
    break_after: int | None = None
    """The connection is cut after so many pieces."""
    asked: list[dict] = []
    running = 0
    most_running = 0
    lock = threading.Lock()

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/health":
            return self.tell({}, self.status)
        if not self.let_in():
            return None
        return self.tell({"object": "list", "data": [{"id": name, "object": "model"} for name in self.names]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/tokenize":
            text = body.get("prompt", body.get("content"))
            return self.tell({"tokens": [number + self.shift for number in self.tokenizer.encode(text, add_special_tokens=False).ids]})
        if not self.let_in():
            return None
        self.asked.append(body)
        if self.status != 200:
            return self.tell({"error": {"message": "/secret/path is broken"}}, self.status)
        if not body.get("stream"):
            return self.tell({"choices": [{"text": self.text(body), "finish_reason": "stop"}], "usage": {"completion_tokens": 3}})
        return self.stream(body)

    def let_in(self) -> bool:
        if self.key is not None and self.headers.get("Authorization") != f"Bearer {self.key}":
            self.tell({"error": "no"}, 401)
            return False
        return True

    def text(self, body: dict) -> str:
        known = self.answers.get(json.dumps(body["prompt"]))
        if known is not None:
            return known
        return f" {body['model']} {sum(body['prompt']) % 9973} {body['temperature']} {body['seed'] if body['temperature'] else 0} done now"

    def stream(self, body: dict) -> None:
        with self.lock:
            type(self).running += 1
            type(self).most_running = max(self.running, self.most_running)
        try:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            words = self.text(body)
            for stop in body.get("stop", []):
                words = words.split(stop)[0]
            pieces = [words[at : at + 4] for at in range(0, len(words), 4)]
            finish = "stop" if len(pieces) <= body["max_tokens"] else "length"
            pieces = pieces[: body["max_tokens"]]
            for number, piece in enumerate(pieces):
                if self.break_after is not None and number >= self.break_after:
                    self.close_connection = True
                    return
                self.event({"choices": [{"index": 0, "text": piece, "finish_reason": None, "logprobs": self.logprobs(body, number)}]})
                time.sleep(self.pause)
            self.event({"choices": [{"index": 0, "text": "", "finish_reason": finish, "logprobs": None}]})
            self.event({"choices": [], "usage": {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(pieces)}})
            self.chunk(b"data: [DONE]\n\n")
            self.chunk(b"")
        except OSError:
            self.close_connection = True
        finally:
            with self.lock:
                type(self).running -= 1

    @staticmethod
    def logprobs(body: dict, number: int) -> dict | None:
        if body.get("logprobs") is None:
            return None
        assert body["return_tokens_as_token_ids"], "tokens are told by id"
        return {"tokens": [f"token_id:{40 + number}"], "token_logprobs": [-0.5], "top_logprobs": [{f"token_id:{40 + number}": -0.5, "token_id:9": -2.0}] if body["logprobs"] else None}

    def event(self, value: dict) -> None:
        self.chunk(f"data: {json.dumps(value)}\n\n".encode())

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def tell(self, value: dict, status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def in_a_thread(**attributes) -> tuple[str, type[Engine], Listener]:
    """An engine in this process: its address, its class with what it was asked, and the listener to shut down."""
    kind = type("OneEngine", (Engine,), {"asked": [], "lock": threading.Lock(), **attributes})
    listener = Listener(("127.0.0.1", 0), kind)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{listener.server_address[1]}", kind, listener


def main(arguments: list[str]) -> None:
    """As a program, under the argument list of the engine that it stands in for."""
    def after(flag: str) -> list[str]:
        found = arguments[arguments.index(flag) + 1 :] if flag in arguments else []
        end = next((at for at, word in enumerate(found) if word.startswith("--")), len(found))
        return found[:end]

    base = Path(after("--model")[0] if "--model" in arguments else arguments[1])
    names = [*after("--served-model-name"), *after("--alias"), *(word.split("=")[0] for word in after("--lora-modules"))]
    for word in after("--lora-modules"):
        assert (Path(word.split("=", 1)[1]) / "adapter_model.safetensors").exists(), "an adapter that is no folder"
    folder = base if base.is_dir() else base.parent
    if (folder / "die").exists():
        sys.exit("no GPU was found")
    Engine.names, Engine.key, Engine.pause = tuple(names), os.environ.get("VLLM_API_KEY") or os.environ.get("LLAMA_API_KEY"), 0.02
    Engine.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    print("HF_TOKEN" in os.environ, os.getpid(), *arguments, flush=True)
    Listener((after("--host")[0], int(after("--port")[0])), Engine).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
