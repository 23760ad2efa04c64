"""A hosted model asked over a real HTTP server on the loopback address: what is sent, what comes back, and what happens when it does not."""
import pytest
from loopback import Loopback

from luthier.data.records import Conversation, Labelled, Message
from luthier.errors import RecipeError, WorkFailed
from luthier.evaluation import contestants
from luthier.evaluation.settings import EndpointSettings
from luthier.generation import remote
from luthier.generation.remote import Endpoint
from luthier.runs.events import silent
from luthier.tasks.chat import PreparedChat
from luthier.tasks.classification import PreparedClassification
from luthier.verbs.materials import endpoint_of, label_in


class Server(Loopback):
    """Answers with the last word of the question, or with whatever `answers` holds next."""

    def __init__(self):
        self.asked, self.answers = [], []
        super().__init__(self.replied)

    def replied(self, path, headers, body):
        self.asked.append((path, headers, body))
        return self.answers.pop(0) if self.answers else (200, {}, self.completion(body))

    @staticmethod
    def completion(body):
        text = body["messages"][-1]["content"].split()[-1]
        return {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": {"prompt_tokens": 11, "completion_tokens": 2}}


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    found = Server()
    yield found
    found.stop()


def test_what_is_sent_and_what_comes_back(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    reply = Endpoint(server.url, "small", key_variable="SOME_KEY").ask([{"role": "user", "content": "say yes"}], max_tokens=7)
    assert (reply.text, reply.tokens_in, reply.tokens_out) == ("yes", 11, 2) and reply.seconds > 0
    path, headers, body = server.asked[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == "Bearer secret"
    assert body == {"model": "small", "messages": [{"role": "user", "content": "say yes"}], "temperature": 0, "max_tokens": 7}


def test_as_a_contestant_of_chat_with_its_price(server):
    record = Conversation((Message("user", "what is it"), Message("assistant", "it")))
    respond = endpoint_of(EndpointSettings(server.url, "small"), PreparedChat(max_new_tokens=20), silent)
    one = contestants.make("endpoint", endpoint=respond)
    answer = one.answer([record])[0]
    assert (answer.text, answer.tokens_in, answer.tokens_out) == ("it", 11, 2)
    assert server.asked[0][2]["messages"] == [{"role": "user", "content": "what is it"}], "the wanted answer is never sent"


def test_as_a_contestant_of_classification(server):
    task = PreparedClassification(labels=["late", "very late", "early"])
    respond = endpoint_of(EndpointSettings(server.url, "small"), task, silent)
    server.answers = [(200, {}, {"choices": [{"message": {"content": "It is Very Late."}}]}), (200, {}, {"choices": [{"message": {"content": "no idea"}}]})]
    found = respond([Labelled("a", "late"), Labelled("b", "early")])
    assert [answer.label for answer in found] == ["very late", "no idea"]
    assert "late; very late; early" in server.asked[0][2]["messages"][-1]["content"]
    assert label_in("early", ["early", "early bird"]) == "early"


def test_busy_servers_are_asked_again_and_others_are_not(server):
    server.answers = [(429, {"Retry-After": "1"}, b"slow down"), (503, {}, b"")]
    assert Endpoint(server.url, "m").ask([{"role": "user", "content": "hi there"}], max_tokens=1).text == "there" and len(server.asked) == 3
    server.answers = [(401, {}, b"no key")]
    with pytest.raises(WorkFailed, match="answered 401: no key"):
        Endpoint(server.url, "m").ask([{"role": "user", "content": "hi"}], max_tokens=1)
    assert len(server.asked) == 4


def test_a_redirect_is_not_followed(server, monkeypatch):
    monkeypatch.setenv("SOME_KEY", "secret")
    other = Server()
    server.answers = [(307, {"Location": other.url + "/chat/completions"}, b"")]
    with pytest.raises(WorkFailed, match="307"):
        Endpoint(server.url, "m", key_variable="SOME_KEY").ask([{"role": "user", "content": "hi"}], max_tokens=1)
    assert not other.asked, "the key stays at its address"
    other.http.shutdown()


@pytest.mark.parametrize("content", [b"<html>", b"[]", b'{"choices": []}', b'{"choices": [{"message": 3}]}'])
def test_what_is_no_completion_is_told(server, content):
    server.answers = [(200, {}, content)]
    with pytest.raises(WorkFailed, match="no chat completion"):
        Endpoint(server.url, "m").ask([{"role": "user", "content": "hi"}], max_tokens=1)


def test_nobody_there(monkeypatch):
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    with pytest.raises(WorkFailed, match="did not answer"):
        Endpoint("http://127.0.0.1:9/v1", "m", timeout=2).ask([{"role": "user", "content": "hi"}], max_tokens=1)


@pytest.mark.parametrize("options", [{"url": "ftp://x/v1"}, {"url": "localhost:8000"}, {"url": "http://me:pw@x/v1"}, {"model": ""}, {"key_variable": "NOT_SET_ANYWHERE"}])
def test_a_wrong_endpoint_is_told_before_anything_is_sent(options):
    given = {"url": "http://localhost:1/v1", "model": "m", **options}
    with pytest.raises(RecipeError) as error:
        Endpoint(given.pop("url"), given.pop("model"), **given)
    assert error.value.code == "R166"
