"""How fast a server is, in one run and on one machine: sixteen streams against one by one and against `transformers serve`, a hundred adapters
mixed against one, first token against `generate`, and three times more than it can do.

    python benchmarks/serving.py throughput|plain|adapters|equal|first|overload [--model tiny|42m] [--adapters N] [--seconds N]

Networks have random weights: speed does not depend on what they say. Everything stays on 127.0.0.1.
"""
import argparse
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
SHAPES = {
    "tiny": {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4},
    "42m": {"hidden_size": 640, "intermediate_size": 1760, "num_hidden_layers": 8, "num_attention_heads": 10, "num_key_value_heads": 10},
}
STREAMS, TOKENS, ROUNDS = 16, 32, 3


def make_model(name: str, folder: Path) -> Path:
    """A Llama of random weights with the tokenizer of spruce, that never ends by itself."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    import luthier

    spruce = Path(luthier.__file__).parent / "models" / "spruce"
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=4096, max_position_embeddings=512, bos_token_id=0, eos_token_id=1, pad_token_id=2, tie_word_embeddings=False, **SHAPES[name])
    network = LlamaForCausalLM(config)
    with torch.no_grad():
        network.lm_head.weight[:6] = 0
        network.lm_head.weight.mul_(3)
    network.save_pretrained(folder)
    for file in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"):
        if (spruce / file).exists():
            shutil.copyfile(spruce / file, folder / file)
    print(f"{name}: {sum(p.numel() for p in network.parameters()) / 1e6:.1f} M parameters")
    return folder


def ask(port: int, model: str, number: int, tokens: int = TOKENS, timeout: float = 300, retry: list | None = None) -> tuple[int, int, float, float]:
    """One stream: status, pieces or tokens, seconds to the first, seconds in all. `retry` is given what `Retry-After` says."""
    body = {"model": model, "messages": [{"role": "user", "content": f"Tell me about violin {number} and the shop, please."}], "max_tokens": tokens, "temperature": 0, "stream": True}
    began, first, count = time.perf_counter(), 0.0, 0
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    connection.request("POST", "/v1/chat/completions", json.dumps({**body, "stream_options": {"include_usage": True}}), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if retry is not None:
        retry.append(answer.getheader("Retry-After"))
    if answer.status != 200:
        answer.read()
        return answer.status, 0, 0.0, time.perf_counter() - began
    usage = None
    for line in answer:
        if line.startswith(b"data: {"):
            event = json.loads(line[6:])
            usage = event.get("usage") or usage
            if event.get("choices") and event["choices"][0]["delta"].get("content"):
                first = first or time.perf_counter() - began
                count += 1
    connection.close()
    return 200, usage["completion_tokens"] if usage else count, first, time.perf_counter() - began


def many(port: int, models: list[str], count: int, at_once: int) -> float:
    """Tokens a second of so many streams, so many at once."""
    began = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(lambda number: ask(port, models[number % len(models)], number), range(count)))
    wrong = [status for status, *_ in found if status != 200]
    if wrong:
        print("  failed:", wrong[:5])
    return sum(tokens for _, tokens, _, _ in found) / (time.perf_counter() - began)


class Server:
    """A server process on a free port."""

    def __init__(self, command: list[str], port: int, ready: str):
        self.port = port
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "LUTHIER_RUNS": tempfile.mkdtemp()})
        end = time.monotonic() + 180
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", ready)
                if connection.getresponse().status < 400:
                    return
            except OSError:
                pass
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{command[:4]} did not start")
            time.sleep(0.1)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def luthier_server(folder: Path, port: int, *more: str) -> Server:
    return Server([sys.executable, "-m", "luthier", "serve", str(folder), "--port", str(port), "--jobs", "0", "-q", *more], port, "/health/ready")


def throughput(folder: Path, name: str, flags: tuple[str, ...] = ("--continuous-batching", "--cb-num-blocks", "256", "--cb-block-size", "32", "--cb-max-batch-tokens", "512")) -> None:
    """Sixteen streams against one by one, and against `transformers serve` with its continuous batching (`throughput`) or as it comes (`plain`)."""
    ours = luthier_server(folder, 8731)
    many(8731, [folder.name], STREAMS, STREAMS)
    batched = max(many(8731, [folder.name], STREAMS, STREAMS) for _ in range(ROUNDS))
    single = max(many(8731, [folder.name], STREAMS // 4, 1) for _ in range(ROUNDS))
    ours.stop()
    print(f"{name}: luthier serve, {STREAMS} streams {batched:.0f} tokens/s, one by one {single:.0f} tokens/s: {batched / single:.2f}x", flush=True)
    program = str(Path(sys.executable).with_name("transformers"))
    try:
        theirs = Server([program, "serve", str(folder), "--host", "127.0.0.1", "--port", "8732", "--device", "cpu", "--dtype", "float32", *flags], 8732, "/health")
        many(8732, [str(folder)], STREAMS, STREAMS)
        other = max(many(8732, [str(folder)], STREAMS, STREAMS) for _ in range(ROUNDS))
        theirs.stop()
        print(f"{name}: transformers serve {' '.join(flags[:1]) or 'as it comes'}, {STREAMS} streams {other:.0f} tokens/s: ours is {batched / max(other, 1e-9):.2f}x", flush=True)
    except SystemExit as error:
        print(f"{name}: transformers serve {' '.join(flags[:1])}: {error}", flush=True)


def make_adapters(folder: Path, scratch: Path, count: int):
    """A bank with so many LoRA adapters of random weights on the base, and their places."""
    import torch
    from safetensors.torch import load_file, save_file

    from luthier.methods.bank import Bank
    from luthier.methods.lora import LoRA
    from luthier.models.load import load

    language_model, saved, method, target = load(str(folder)), load(str(folder)), LoRA(rank=8), scratch / "adapter"
    target.mkdir()
    method.save(method.apply(saved), saved, target)
    shapes = {name: tensor.shape for name, tensor in load_file(target / "adapter_model.safetensors").items()}
    bank, places = Bank(language_model), []
    for number in range(count):
        generator = torch.Generator().manual_seed(number)
        save_file({name: 0.02 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}, target / "adapter_model.safetensors", metadata={"format": "pt"})
        places.append(bank.add(target))
    return language_model, bank, places


def written(language_model, bank, chosen: list[int], tokens: int, rows: int = STREAMS) -> tuple[float, list[tuple[int, ...]]]:
    """So many rows at hand all the time until every text is written; tokens a second, texts."""
    from luthier.generation.batcher import Batcher, Seat
    from luthier.generation.text import Writer

    prompt = list(range(40, 60))
    batcher = Batcher(language_model, bank, max_rows=rows)
    seats = [Seat([*prompt, 60 + number % 50], tokens, Writer(language_model.tokenizer, prompt, (), None), adapter=place) for number, place in enumerate(chosen)]
    waiting, began = list(seats), time.perf_counter()
    while waiting or batcher.seats:
        if waiting and batcher.free:
            batcher.join([waiting.pop(0) for _ in range(min(batcher.free, len(waiting)))])
        batcher.step()
    return sum(len(seat.tokens) for seat in seats) / (time.perf_counter() - began), [tuple(seat.tokens) for seat in seats]


def adapters(folder: Path, name: str, scratch: Path, count: int = 100) -> None:
    """In one process: the same rows with one adapter, and with as many different ones as rows, out of a hundred; by turns, best of two."""
    language_model, bank, places = make_adapters(folder, scratch, count)
    written(language_model, bank, places[:STREAMS], 4)
    one, mixed = [], []
    for number in range(2):
        one.append(written(language_model, bank, [places[0]] * count, 16)[0])
        mixed.append(written(language_model, bank, places, 16)[0])
        print(f"{name}: {count} adapters mixed {max(mixed):.0f} tokens/s, one adapter {max(one):.0f}: {max(mixed) / max(one):.2f}x of one, best of {number + 1}", flush=True)
    print(f"{name}: the base alone {written(language_model, bank, [0] * count, 16)[0]:.0f} tokens/s", flush=True)


def equal(folder: Path, name: str, scratch: Path, count: int = 100) -> None:
    """Whether each of a hundred adapters writes in company what it writes with nobody beside it."""
    language_model, bank, places = make_adapters(folder, scratch, count)
    together = written(language_model, bank, places, 16)[1]
    same = 0
    for number, place in enumerate(places):
        from luthier.generation.batcher import Batcher, Seat
        from luthier.generation.text import Writer

        prompt = [*range(40, 60), 60 + number % 50]
        batcher, seat = Batcher(language_model, bank, max_rows=1), Seat(prompt, 16, Writer(language_model.tokenizer, prompt, (), None), adapter=place)
        batcher.join([seat])
        while batcher.seats:
            batcher.step()
        same += tuple(seat.tokens) == together[number]
    print(f"{name}: texts equal to the adapter's own, alone: {same} of {count}; different texts {len(set(together))}", flush=True)


def in_process(folder: Path, asked) -> list[float]:
    """Seconds from a conversation to its first token by our own parts, without HTTP: prompt rendered, read, token chosen and told."""
    from luthier.data.records import Message
    from luthier.generation.batcher import Batcher, Seat
    from luthier.generation.text import Writer
    from luthier.methods.bank import Bank
    from luthier.models.load import load
    from luthier.preparation.renderer import Renderer

    language_model = load(str(folder))
    language_model.network.eval()
    renderer, batcher = Renderer(language_model.tokenizer, language_model.template, language_model.context), Batcher(language_model, Bank(language_model))
    times = []
    for number in range(24):
        began = time.perf_counter()
        prompt = renderer.prompt([Message(**turn) for turn in asked(number)])
        batcher.join([Seat(prompt, 1, Writer(language_model.tokenizer, prompt, (), lambda text: None))])
        times.append(time.perf_counter() - began)
    return times[4:]


def first(folder: Path, name: str) -> None:
    """First token of one stream against Transformers' generate of one token on the same prompts with the same threads, with HTTP and without.

    Generate before and after the server lives, never beside it: the idle threads of one process spin on the cores of the other.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    network, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(folder)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    told, around = [], []

    def generated() -> list[float]:
        times = []
        for number in range(24):
            began = time.perf_counter()
            inputs = tokenizer.apply_chat_template(asked(number), add_generation_prompt=True, return_tensors="pt", return_dict=True)
            with torch.inference_mode():
                network.generate(**inputs, max_new_tokens=1, do_sample=False)
            times.append(time.perf_counter() - began)
        return times[4:]

    asked = lambda number: [{"role": "user", "content": f"Tell me about violin {number} and the shop, please."}]
    before = generated()
    time.sleep(1.0)
    ours = luthier_server(folder, 8733)
    for number in range(44):
        told.append(ask(8733, folder.name, number, 2)[2])
        messages = asked(number)
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", 8733, timeout=30)
        connection.request("POST", "/tokenize", json.dumps({"model": folder.name, "messages": messages}), {"Content-Type": "application/json"})
        connection.getresponse().read()
        around.append(time.perf_counter() - began)
    ours.stop()
    theirs, inside = before + generated(), in_process(folder, asked)
    print(f"{name}: ours in process, median {sorted(inside)[len(inside) // 2] * 1000:.1f} ms")
    print(f"{name}: of ours, HTTP and rendering the prompt without any network take {sorted(around[4:])[20] * 1000:.1f} ms")
    mine, other = sorted(told[4:])[20] * 1000, sorted(theirs)[20] * 1000
    print(f"{name}: first token of one stream over HTTP, median {mine:.1f} ms; generate(max_new_tokens=1) in process {other:.1f} ms: ours takes {mine / other:.2f}x of it, on {len(os.sched_getaffinity(0))} cores", flush=True)


def load_for(folder: Path, askers: int, seconds: float) -> list[tuple]:
    """What so many askers got in so many seconds: each asks again at once, and after a 429 when `Retry-After` says so."""
    end, lock, found = time.monotonic() + seconds, threading.Lock(), []

    def go(number: int) -> None:
        while time.monotonic() < end:
            retry: list[str | None] = []
            try:
                answer = ask(8734, folder.name, number, 32, retry=retry)
            except (OSError, http.client.HTTPException):  # nobody answered, or not to the end
                answer = (0, 0, 0.0, 0.0)
            retry = retry or [None]
            with lock:
                found.append((*answer, *retry))
            if answer[0] != 200:
                time.sleep(min(float(retry[0] or 1), max(0.0, end - time.monotonic())))

    threads = [threading.Thread(target=go, args=(number,)) for number in range(askers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def overload(folder: Path, name: str, seconds: float, turns: int = 5) -> None:
    """As many askers as it serves at once, then three times as many with those that wait, by turns: statuses, goodput, time to a 429.

    `seconds` is the time under threefold load in all; a turn of the plain load takes a fifth of that of the other, so that both see the same machine.
    """
    ours = luthier_server(folder, 8734, "--waiting", "16")
    load_for(folder, 16, 3)
    found: dict[str, list[tuple]] = {"1x": [], "3x": []}
    spent = {"1x": 0.0, "3x": 0.0}
    for _ in range(turns):
        for load, askers, share in (("1x", 16, 0.2), ("3x", 48, 1.0)):
            began = time.monotonic()
            found[load] += load_for(folder, askers, share * seconds / turns)
            spent[load] += time.monotonic() - began
    ours.stop()
    goodput = {}
    for load, answers in found.items():
        refused = sorted(item[3] for item in answers if item[0] == 429)
        silent = sum(item[0] == 429 and not item[4] for item in answers)
        errors = [item[0] for item in answers if item[0] not in (200, 429)]
        goodput[load] = sum(item[1] for item in answers if item[0] == 200) / spent[load]
        late = refused[int(0.99 * len(refused))] * 1000 if refused else 0.0
        print(f"{name}: {load} load, {spent[load]:.0f} s: {sum(item[0] == 200 for item in answers)} answered, {len(refused)} got 429 ({silent} without Retry-After, p99 {late:.0f} ms), {len(errors)} other errors {errors[:5]}, goodput {goodput[load]:.0f} tokens/s", flush=True)
    print(f"{name}: goodput at 3x is {goodput['3x'] / goodput['1x']:.2f} of that at 1x", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["throughput", "plain", "adapters", "equal", "first", "overload"])
    parser.add_argument("--model", default="42m", choices=list(SHAPES))
    parser.add_argument("--adapters", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = make_model(wanted.model, Path(scratch) / "model")
        many_adapters = (Path(scratch), wanted.adapters)
        more = {"throughput": (), "plain": ((),), "adapters": many_adapters, "equal": many_adapters, "first": (), "overload": (wanted.seconds,)}[wanted.what]
        {"throughput": throughput, "plain": throughput, "adapters": adapters, "equal": equal, "first": first, "overload": overload}[wanted.what](folder, wanted.model, *more)


if __name__ == "__main__":
    main()
