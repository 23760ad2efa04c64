"""The stock client of the hosted API, not a line changed, and the shape of every body it gets."""
import json

import numpy as np
import openai
import pytest
import torch
from shapes import assert_shape

from luthier.generation.local import generate

ASKED = [{"role": "user", "content": "Where is the violin?"}]


def raw(found, name):
    return assert_shape(name, json.loads(found.http_response.content))


def test_models(client):
    found = client.models.with_raw_response.list()
    assert {model.id: model.parent for model in found.parse().data} == {"base": None, "one": "base", "two": "base"}
    raw(found, "models")
    assert client.models.retrieve("one").id == "one"


@pytest.mark.parametrize("name", ["base", "one", "two"])
def test_a_chat_is_what_the_model_writes_alone(client, running, name, request):
    model = running.service.registry.find(name)
    from luthier.data.records import Message

    prompt = model.renderer.prompt([Message("user", "Where is the violin?")])
    with model.at_work() as language_model:
        wanted = generate(language_model, [prompt], max_new_tokens=20)[0]
    found = client.chat.completions.with_raw_response.create(model=name, messages=ASKED, temperature=0, max_tokens=20)
    body = raw(found, "chat.completion")
    assert body["choices"][0]["message"]["content"] == wanted.text.strip()
    assert body["choices"][0]["finish_reason"] == wanted.finish
    assert body["usage"] == {"prompt_tokens": len(prompt), "completion_tokens": len(wanted.tokens), "total_tokens": len(prompt) + len(wanted.tokens)}


def test_the_adapters_write_different_texts(client):
    texts = {client.chat.completions.create(model=name, messages=ASKED, temperature=0, max_tokens=20).choices[0].message.content for name in ("base", "one", "two")}
    assert len(texts) == 3


@pytest.mark.parametrize("words", ["Hello", "Grüße 🎻 an alle", "line\nline"])
def test_a_stream_says_what_the_whole_answer_says(client, words):
    asked = {"model": "one", "messages": [{"role": "user", "content": words}], "temperature": 0, "max_tokens": 25, "n": 2, "logprobs": True, "top_logprobs": 2}
    whole = client.chat.completions.create(**asked)
    texts, finishes, told, usage = ["", ""], [None, None], [[], []], None
    with client.chat.completions.with_streaming_response.create(**asked, stream=True, stream_options={"include_usage": True}) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert lines[-1] == "data: [DONE]" and all(line.startswith("data: ") for line in lines)
    for line in lines[:-1]:
        chunk = assert_shape("chat.completion.chunk", json.loads(line[6:]))
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            texts[choice["index"]] += choice["delta"].get("content") or ""
            finishes[choice["index"]] = choice["finish_reason"] or finishes[choice["index"]]
            told[choice["index"]] += (choice.get("logprobs") or {}).get("content") or []
    for at, choice in enumerate(whole.choices):
        assert texts[at] == choice.message.content and finishes[at] == choice.finish_reason
        assert [item["token"] for item in told[at]] == [item.token for item in choice.logprobs.content]
    assert usage == whole.usage.model_dump(exclude_none=True)


def test_the_stock_parser_reads_a_stream(client):
    pieces = list(client.chat.completions.create(model="one", messages=ASKED, stream=True, max_tokens=10, seed=3))
    assert pieces[0].choices[0].delta.role == "assistant" and pieces[-1].choices[0].finish_reason in ("stop", "length")


def test_a_seed_says_the_same_again_and_another_does_not(client):
    def ask(**more):
        return client.chat.completions.create(model="base", messages=ASKED, max_tokens=30, **more).choices[0].message.content

    assert len({ask(seed=5, temperature=1.2) for _ in range(5)}) == 1
    assert len({ask(seed=seed, temperature=1.2) for seed in range(5)}) == 5
    assert len({ask(temperature=1.2) for _ in range(4)}) == 4


def test_stop_strings_end_an_answer_before_them(client):
    text = client.chat.completions.create(model="base", messages=ASKED, temperature=0, max_tokens=40, logit_bias={"2": -100}).choices[0].message.content
    stop = text[8:10]
    found = client.chat.completions.create(model="base", messages=ASKED, temperature=0, max_tokens=40, stop=[stop], logit_bias={"2": -100}).choices[0]
    assert found.message.content == text[: text.index(stop)].strip() and found.finish_reason == "stop"


def test_completions_continue_texts_and_tokens(client, running):
    found = client.completions.with_raw_response.create(model="one", prompt=["The violin", "drums"], max_tokens=7, temperature=0, logprobs=2, n=2)
    body = raw(found, "text_completion")
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2, 3]
    assert body["choices"][0]["text"] == body["choices"][1]["text"] != body["choices"][2]["text"]
    assert len(body["choices"][2]["logprobs"]["tokens"]) == len(body["choices"][2]["logprobs"]["top_logprobs"])
    pieces = list(client.completions.create(model="one", prompt="The violin", max_tokens=7, temperature=0, stream=True))
    assert "".join(piece.choices[0].text for piece in pieces) == body["choices"][0]["text"]
    counted = list(client.completions.create(model="one", prompt="The violin", max_tokens=7, temperature=0, stream=True, stream_options={"include_usage": True}))
    assert [piece.usage for piece in counted[:-1]] == [None] * (len(counted) - 1) and not any("usage" in piece.model_fields_set for piece in counted[:-1]), "usage is told once; the document has no null there"
    assert counted[-1].usage.completion_tokens == 7 and counted[-1].choices == []


@pytest.mark.parametrize("form", ["float", "base64"])
def test_embeddings_are_the_means_of_hidden_states(client, running, form):
    found = client.embeddings.with_raw_response.create(model="two", input=["a violin", "two drums here"], encoding_format=form)
    body = raw(found, "embeddings")
    model = running.service.registry.find("two")
    rows = [model.renderer.text(text) for text in ("a violin", "two drums here")]
    with torch.inference_mode(), model.at_work() as language_model:
        wanted = [language_model.network.model(input_ids=torch.tensor([row])).last_hidden_state[0].mean(0).numpy() for row in rows]
    numbers = client.embeddings.create(model="two", input=["a violin", "two drums here"])  # the client's own default is base64
    for at, vector in enumerate(wanted):
        assert np.allclose(numbers.data[at].embedding, vector, atol=1e-5)
        if form == "float":
            assert np.allclose(body["data"][at]["embedding"], vector, atol=1e-5)


SCHEMA = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}, "count": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["colour", "count"], "additionalProperties": False}


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_a_json_schema_is_followed_by_a_network_that_knows_no_json(client, temperature):
    wanted = {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}
    found = client.chat.completions.create(model="one", messages=ASKED, response_format=wanted, temperature=temperature, max_tokens=80, seed=1, n=3)
    for choice in found.choices:
        value = json.loads(choice.message.content)
        assert set(value) == {"colour", "count"} and value["colour"] in ("red", "blue") and 0 <= value["count"] <= 99
        assert choice.finish_reason == "stop"


def test_a_bad_schema_is_refused_and_the_next_request_is_answered(client):
    bad = [{"type": "nonsense"}, {"type": "string", "pattern": "(((("}, {"$ref": "#/$defs/none"}, {"a": [[[]]] * 3, "type": 5}, json.loads('{"allOf":[' * 40 + "{}" + "]}" * 40)]
    for schema in bad:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="one", messages=ASKED, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}, max_tokens=4)
    assert client.chat.completions.create(model="one", messages=ASKED, max_tokens=4).choices


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 9}, "n"), ({"n": 10**6}, "n"), ({"temperature": 2.5}, "temperature"), ({"top_p": -0.1}, "top_p"), ({"presence_penalty": 3}, "presence_penalty"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"), ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"), ({"seed": 2**63}, "seed"), ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**5}, "max_tokens"), ({"logit_bias": {"99999": 1}}, "logit_bias"), ({"logit_bias": {"x": 1}}, "logit_bias"), ({"store": True}, "store"),
        ({"reasoning_effort": "low"}, "reasoning_effort"), ({"audio": {"voice": "a", "format": "mp3"}}, "audio"), ({"extra_body": {"min_p": 0.1}}, "min_p"),
        ({"extra_body": {"chat_template_kwargs": {"tokenize": False}}}, "chat_template_kwargs"), ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"top_logprobs": 2}, "top_logprobs"), ({"extra_body": {"temperature": "1"}}, "temperature"), ({"service_tier": "flex"}, "service_tier"),
    ],
)  # fmt: skip
def test_what_is_unknown_or_out_of_range_is_refused_by_its_name(client, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="one", messages=ASKED, **more)
    assert_shape("error", refused.value.response.json())
    assert refused.value.param.split(".")[0] == param


def test_too_long_a_prompt_is_told_with_both_numbers(client):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="one", messages=[{"role": "user", "content": "x" * 400}])
    assert refused.value.code == "context_length_exceeded" and "256" in str(refused.value) and "40" in str(refused.value)


def test_an_unknown_model_is_told_which_there_are(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="three", messages=ASKED)
    assert refused.value.code == "model_not_found" and "base, one, two" in str(refused.value)
    assert_shape("error", refused.value.response.json())


def test_text_parts_are_joined_and_pictures_refused(client):
    parts = [{"type": "text", "text": "Where is "}, {"type": "text", "text": "the violin?"}]
    one = client.chat.completions.create(model="one", messages=[{"role": "user", "content": parts}], temperature=0, max_tokens=9).choices[0].message.content
    assert one == client.chat.completions.create(model="one", messages=ASKED, temperature=0, max_tokens=9).choices[0].message.content
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(model="one", messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}]}])
