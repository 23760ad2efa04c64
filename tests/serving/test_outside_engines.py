"""Our API before engines in other processes: a stand-in speaks their HTTP over real sockets; keys, limits, errors and refusals stay ours."""
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from conftest import start
from shapes import assert_shape
from stand_in_engine import in_a_thread
from test_door import ask
from tokenizers import Tokenizer

from luthier.errors import RecipeError
from luthier.serving.door import Key
from luthier.serving.outside import OUTSIDE
from luthier.serving.outside.kind import Asked, Shown
from luthier.serving.settings import ServerSettings
from luthier.verbs import outside
from luthier.verbs.outside import open_outside
from luthier.verbs.serve import hashed, wait_outside

ASKED = [{"role": "user", "content": "Where is the violin?"}]
HERE = Path(__file__).parent


def spruce() -> Path:
    import luthier

    return Path(luthier.__file__).parent / "models" / "spruce"


def served(names: list[str], engine: str, url: str | None, folder: Path, *, settings: ServerSettings | None = None, keys: tuple[Key, ...] = (), said: list | None = None):
    """A server before an engine, once that answers."""
    watched, models = open_outside(names, engine, url, max_rows=4, log_file=folder / "engine.log", say=(said if said is not None else []).append)
    found = start(models, settings=settings, fixed_keys=keys)
    found.service.ready = False
    watched.start()
    wait_outside(found.service, watched, lambda event: None)
    return found, watched


@pytest.fixture
def attached(tmp_path):
    """A server before a running stand-in for vLLM that serves spruce; what it is asked; both are stopped."""
    url, kind, listener = in_a_thread(names=("spruce",), tokenizer=Tokenizer.from_file(str(spruce() / "tokenizer.json")))
    found, watched = served(["spruce"], "vllm", url + "/v1", tmp_path)
    yield found, kind, watched
    watched.stop()
    found.stop()
    listener.shutdown()


def texts_of(stream) -> tuple[str, str]:
    text, finish = "", None
    for chunk in stream:
        assert_shape("chat.completion.chunk", chunk.model_dump(exclude_unset=True))
        if chunk.choices:
            text, finish = text + (chunk.choices[0].delta.content or ""), chunk.choices[0].finish_reason or finish
    return text, finish


def test_prompts_are_our_ids_and_every_value_is_sent(attached):
    found, kind, _ = attached
    client = found.client()
    answer = client.chat.completions.create(model="spruce", messages=ASKED, temperature=0.7, top_p=0.9, seed=5, max_tokens=50, stop=["zzz"], presence_penalty=0.5, logit_bias={"7": -3}, n=2)
    assert_shape("chat.completion", answer.model_dump(exclude_unset=True))
    model = found.service.registry.find("spruce")
    from luthier.data.records import Message

    sent = kind.asked[-1]
    assert sent["prompt"] == list(model.renderer.prompt([Message("user", ASKED[0]["content"])])), "the engine's own chat template has no say"
    assert sent["temperature"] == 0.7 and sent["top_p"] == 0.9 and sent["top_k"] == -1 and sent["min_p"] == 0.0 and sent["repetition_penalty"] == 1.0 and sent["stop"] == ["zzz"]
    assert sent["presence_penalty"] == 0.5 and sent["logit_bias"] == {"7": -3} and sent["max_tokens"] == 50 and set(sent["stop_token_ids"]) >= {model.view.tokenizer.eos_token_id}
    assert {body["seed"] for body in kind.asked[-2:]} == {5, 6}, "two answers to one prompt have noise of their own"
    assert len({choice.message.content for choice in answer.choices}) == 2 and answer.usage.completion_tokens > 10 and answer.usage.prompt_tokens == len(sent["prompt"])


def test_streams_completions_and_likelihoods_have_our_shapes(attached):
    found, kind, _ = attached
    client = found.client()
    whole = client.chat.completions.create(model="spruce", messages=ASKED, temperature=0, max_tokens=60, logprobs=True, top_logprobs=1)
    assert_shape("chat.completion", whole.model_dump(exclude_unset=True))
    assert whole.choices[0].logprobs.content[0].logprob == -0.5 and len(whole.choices[0].logprobs.content[0].top_logprobs) == 2
    text, finish = texts_of(client.chat.completions.create(model="spruce", messages=ASKED, temperature=0, max_tokens=60, stream=True, stream_options={"include_usage": True}))
    assert text == whole.choices[0].message.content.strip() and finish == whole.choices[0].finish_reason == "stop"
    assert client.chat.completions.create(model="spruce", messages=ASKED, temperature=0, max_tokens=2).choices[0].finish_reason == "length"
    body = client.completions.create(model="spruce", prompt=["The violin", "drums"], max_tokens=60, temperature=0)
    assert_shape("text_completion", body.model_dump(exclude_unset=True))
    assert body.choices[0].text != body.choices[1].text
    stopped = client.chat.completions.create(model="spruce", messages=ASKED, temperature=0, max_tokens=60, stop=[" done"])
    assert stopped.choices[0].message.content == whole.choices[0].message.content.split(" done")[0].strip()


def test_what_only_a_network_here_can_do_is_refused_by_name(attached):
    found, _, _ = attached
    client = found.client()
    for call in (lambda: client.embeddings.create(model="spruce", input="x"), lambda: client.chat.completions.create(model="spruce", messages=ASKED, max_tokens=10**5), lambda: client.chat.completions.create(model="spruce", messages=ASKED, store=True)):
        with pytest.raises(openai.BadRequestError):
            call()
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="other", messages=ASKED)
    status, body, _ = ask(found.address, "POST", "/tokenize", headers={"Content-Type": "application/json"}, body=b'{"model": "spruce", "prompt": "violin"}')
    assert status == 200 and json.loads(body)["count"] >= 1


def test_a_schema_that_goes_unheard_is_not_passed_on(attached):
    found, kind, _ = attached
    client = found.client()
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}}}
    with pytest.raises(openai.InternalServerError) as refused:
        client.chat.completions.create(model="spruce", messages=ASKED, response_format=wanted, max_tokens=60)
    assert refused.value.status_code == 502 and refused.value.code == "engine_refused"
    kind.answers = {json.dumps(kind.asked[-1]["prompt"]): '{"a": 12}'}
    assert json.loads(client.chat.completions.create(model="spruce", messages=ASKED, response_format=wanted, max_tokens=60).choices[0].message.content) == {"a": 12}
    assert kind.asked[-1]["response_format"]["json_schema"]["schema"]["required"] == ["a"]


def test_errors_of_the_engine_are_ours_and_say_nothing_of_it(attached):
    found, kind, _ = attached
    client = found.client()
    for theirs, ours in ((500, 503), (400, 502), (429, 429)):
        kind.status = theirs
        with pytest.raises(openai.APIStatusError) as refused:
            client.chat.completions.create(model="spruce", messages=ASKED)
        assert refused.value.status_code == ours and "secret" not in refused.value.response.text and (ours == 502 or "retry-after" in refused.value.response.headers)
        assert_shape("error", refused.value.response.json())
    kind.status, kind.break_after = 200, 2
    pieces, failed = [], False
    try:
        for chunk in client.chat.completions.create(model="spruce", messages=ASKED, stream=True, max_tokens=60):
            pieces.append(chunk)
    except openai.APIError as error:
        failed = "does not answer" in str(error)
    assert failed and len(pieces) >= 2, "a stream that breaks ends with an error event"
    kind.break_after = None
    assert client.chat.completions.create(model="spruce", messages=ASKED).choices


def test_limits_are_ours_and_who_leaves_frees_the_engine(tmp_path):
    url, kind, listener = in_a_thread(names=("spruce",), tokenizer=Tokenizer.from_file(str(spruce() / "tokenizer.json")), pause=0.05)
    found, watched = served(["spruce"], "vllm", url, tmp_path, settings=ServerSettings(port=0, max_waiting=2), keys=(Key("me", hashed("secret"), ("inference",)),))
    assert ask(found.address, "GET", "/v1/models")[0] == 401
    client = openai.OpenAI(base_url=f"{found.address}/v1", api_key="secret", max_retries=0)

    def one(_) -> int:
        try:
            client.chat.completions.create(model="spruce", messages=ASKED, temperature=0, max_tokens=60)
            return 200
        except openai.RateLimitError as error:
            assert int(error.response.headers["retry-after"]) >= 1
            return 429

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(one, range(20)))
    assert set(answers) == {200, 429} and kind.most_running <= 6, "four rows and two that wait"
    streams = [client.chat.completions.create(model="spruce", messages=ASKED, stream=True, max_tokens=60) for _ in range(4)]
    for stream in streams:
        next(iter(stream))
        stream.close()
    end = time.monotonic() + 5
    while (found.service.engine.outside or kind.running) and time.monotonic() < end:
        time.sleep(0.02)
    model = found.service.registry.find("spruce")
    assert not found.service.engine.outside and kind.running == 0 and model.users == 0 and all(usage.running == 0 for usage in found.service.door.usage.values())
    watched.stop()
    found.stop()
    listener.shutdown()


# ---- whether it is the model --------------------------------------------------------------------
@pytest.mark.parametrize(("attributes", "word"), [({"names": ("llama",)}, "no model named 'spruce'"), ({"shift": 1}, "other token ids")])
def test_an_engine_that_is_another_model_is_never_ready(tmp_path, attributes, word):
    url, _, listener = in_a_thread(**{"names": ("spruce",), "tokenizer": Tokenizer.from_file(str(spruce() / "tokenizer.json")), **attributes})
    found, watched = served(["spruce"], "vllm", url, tmp_path)
    assert word in watched.failed and ask(found.address, "GET", "/health/ready")[0] == 503 and ask(found.address, "GET", "/health/live")[0] == 503
    with pytest.raises(openai.InternalServerError) as refused:
        found.client().chat.completions.create(model="spruce", messages=ASKED)
    assert refused.value.status_code == 503
    found.stop()
    listener.shutdown()


def test_an_adapter_is_held_to_the_answers_that_its_run_kept(trained, tmp_path):
    """The base under the adapter's name is refused; the engine that writes what the run wrote is ready."""
    name = trained("chat")
    _, models = open_outside([name], "vllm", "http://127.0.0.1:9", max_rows=4, log_file=tmp_path / "log")
    source = outside.source_of(name, OUTSIDE["vllm"])
    questions, wanted = outside.kept_answers(source, models[-1])
    assert len(wanted) >= 4 and [model.id for model in models] == ["spruce", "chat"]
    tokenizer = Tokenizer.from_file(str(spruce() / "tokenizer.json"))
    for answers, ready in (({}, False), ({json.dumps(asked.prompt): text for asked, text in zip(questions, wanted, strict=True)}, True)):
        url, _, listener = in_a_thread(names=("spruce", "chat"), tokenizer=tokenizer, answers=answers)
        said: list = []
        found, watched = served([name], "vllm", url, tmp_path, said=said)
        assert watched.up == ready and bool(watched.failed) != ready
        assert not ready or any(f"{len(wanted)} of {len(wanted)} answers" in event.message for event in said)
        watched.stop()
        found.stop()
        listener.shutdown()


def test_runs_that_cannot_go_there_say_what_to_type(trained, tmp_path):
    for name, engine, word in (
        (trained("decoder-tickets"), "vllm", "gives labels"), (trained("full"), "vllm", "export full --to merged"), (trained("chat"), "llamacpp", "export chat --to gguf"), ("spruce", "llamacpp", "GGUF"), ("spruce", "sglang", "vllm, llamacpp"),
    ):
        with pytest.raises(RecipeError) as refused:
            open_outside([name], engine, "http://127.0.0.1:9", max_rows=4, log_file=tmp_path / "log")
        assert refused.value.code == "R189" and word in refused.value.message + refused.value.hint


@pytest.mark.parametrize(("engine", "program"), [("vllm", "vllm"), ("llamacpp", "llama-server")])
def test_a_missing_engine_is_a_sentence_with_the_line_that_installs_it(tmp_path, monkeypatch, engine, program):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match=f"needs {program}") as refused:
        open_outside(["spruce"], engine, None, max_rows=4, log_file=tmp_path / "log")
    assert "install" in refused.value.hint and "--engine-url" in refused.value.hint


# ---- a process that we start --------------------------------------------------------------------
@pytest.fixture
def programs(tmp_path, monkeypatch):
    """`vllm` and `llama-server` on the path, which are the stand-in."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("vllm", "llama-server"):
        path = folder / name
        path.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(HERE)!r})\nimport stand_in_engine\nstand_in_engine.main(sys.argv[1:])\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return folder


def engine_pid(log: Path) -> int:
    return int(log.read_text().strip().splitlines()[-1].split()[1])


def gone(pid: int, seconds: float = 12.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not Path(f"/proc/{pid}").exists() or Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.nightly)])
def test_an_engine_that_is_killed_comes_back(trained, programs, tmp_path, times):
    """kill -9 under load: not ready within two seconds, what was at hand ends with an error event, answers again within thirty."""
    run = shutil.copytree(trained("chat"), tmp_path / "chat")
    (run / "evaluation" / "tuned.answers.jsonl").unlink()  # a stand-in cannot write what the run wrote
    found, watched = served([str(run)], "vllm", None, tmp_path)
    assert watched.up, watched.failed
    first = (tmp_path / "engine.log").read_text()
    assert "--enable-lora" in first and f"chat={run / 'model'}" in first and first.startswith("False"), "it finds none of our keys"
    client = found.client()
    for _ in range(times):
        watched.deaths = 0
        streams = [client.chat.completions.create(model="chat", messages=ASKED, stream=True, max_tokens=60) for _ in range(3)]
        for stream in streams:
            next(iter(stream))
        os.kill(engine_pid(tmp_path / "engine.log"), signal.SIGKILL)
        killed = time.monotonic()
        for stream in streams:
            with pytest.raises(openai.APIError, match="does not answer"):
                list(stream)
        while ask(found.address, "GET", "/health/ready")[0] == 200:
            assert time.monotonic() - killed < 2
            time.sleep(0.02)
        while ask(found.address, "GET", "/health/ready")[0] != 200:
            assert time.monotonic() - killed < 30
            time.sleep(0.05)
        assert client.chat.completions.create(model="chat", messages=ASKED, max_tokens=9).choices
    last = engine_pid(tmp_path / "engine.log")
    watched.stop()
    found.stop()
    assert gone(last), "no engine outlives its server"


def test_an_engine_that_cannot_start_is_told_with_its_last_words(programs, tmp_path):
    copy = shutil.copytree(spruce(), tmp_path / "base")
    (copy / "die").touch()
    watched, models = open_outside([str(copy)], "vllm", None, max_rows=4, log_file=tmp_path / "engine.log")
    watched.deaths = 4
    found = start(models)
    watched.start()
    said: list = []
    wait_outside(found.service, watched, said.append)
    assert "no GPU was found" in said[-1].message and ask(found.address, "GET", "/health/live")[0] == 503
    watched.stop()
    found.stop()


def test_a_gguf_file_behind_llama_server(trained, programs, tmp_path):
    from luthier.verbs.export import export

    export(trained("chat"), "gguf", precision="f16", out=tmp_path / "copy")
    shutil.copy(spruce() / "tokenizer.json", tmp_path / "copy" / "tokenizer.json")  # the stand-in reads this one
    found, watched = served([str(next((tmp_path / "copy").glob("*.gguf")))], "llamacpp", None, tmp_path)
    assert watched.up, watched.failed
    client, name = found.client(), next(iter(found.service.registry.models))
    assert client.chat.completions.create(model=name, messages=ASKED, temperature=0, max_tokens=60).choices[0].message.content.startswith(name)
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model=name, messages=ASKED, logprobs=True)
    assert refused.value.param == "logprobs"
    watched.stop()
    found.stop()


def is_ready(address: str) -> bool:
    try:
        return ask(address, "GET", "/health/ready")[0] == 200
    except OSError:
        return False


def test_no_engine_outlives_a_server_that_is_killed(programs, tmp_path):
    """A whole program: `luthier serve spruce --engine vllm`, then kill -9."""
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1]), "LUTHIER_RUNS": str(tmp_path / "runs")}
    process = subprocess.Popen([sys.executable, "-m", "luthier", "serve", "spruce", "--engine", "vllm", "--port", "0", "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    try:
        address = json.loads(process.stdout.readline())["address"]
        end = time.monotonic() + 60
        while not is_ready(address):
            assert time.monotonic() < end
            time.sleep(0.1)
        pid = engine_pid(tmp_path / "runs" / ".serving" / "vllm.log")
        assert ask(address, "POST", "/v1/chat/completions", headers={"Content-Type": "application/json"}, body=json.dumps({"model": "spruce", "messages": ASKED}).encode())[0] == 200
    finally:
        process.kill()
        process.wait()
    assert gone(pid)


# ---- argument lists and bodies ------------------------------------------------------------------
def test_argument_lists_are_those_of_the_programs(tmp_path):
    shown = Shown(tmp_path, "base", 512, 8, "fp32", {"a": tmp_path / "a", "b": tmp_path / "b"}, 12)
    words = OUTSIDE["vllm"].command("vllm", shown, 9000)
    assert words[:3] == ["vllm", "serve", str(tmp_path)] and words[words.index("--max-lora-rank") + 1] == "16" and words[words.index("--dtype") + 1] == "float32"
    assert words[words.index("--lora-modules") + 1 :] == [f"a={tmp_path / 'a'}", f"b={tmp_path / 'b'}"] and words[words.index("--generation-config") + 1] == "vllm"
    words = OUTSIDE["llamacpp"].command("llama-server", shown, 9000)
    assert words[words.index("--ctx-size") + 1] == "4096" and words[words.index("--parallel") + 1] == "8" and all(isinstance(word, str) for word in words)
    asked = Asked("a", [1, 2], 5, 0.0, 1.0, 0, 3, 0.0, 0.0, ("x",), (7,), ("<|end|>",), {4: -1.0}, None, {"type": "object"})
    body = OUTSIDE["llamacpp"].body(asked)
    assert body["stop"] == ["x", "<|end|>"] and body["top_k"] == 0 and body["min_p"] == 0.0 and body["json_schema"] == {"type": "object"} and body["logit_bias"] == [[4, -1.0]]


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://u:p@127.0.0.1", "127.0.0.1:8000", "http://x/?a=b"])
def test_addresses_that_are_none(url):
    with pytest.raises(RecipeError):
        outside.address_of(url)
    assert outside.address_of("http://127.0.0.1:8001/v1/") == "http://127.0.0.1:8001"
