"""What is laid before a question: instructions and passages, as many as fit; and the contestants that stand on them."""
import numpy as np
import pytest

from luthier.data.records import Conversation, Labelled, Message, Pair, Text
from luthier.errors import DataError, RecipeError
from luthier.evaluation import contestants
from luthier.evaluation.contestants.context import before, laid, with_passages
from luthier.evaluation.contestants.few_shot import spread
from luthier.tasks.answers import Answer
from luthier.tasks.asking import fitting_prompts, rooms_beside


def talk(*turns):
    return Conversation(tuple(Message(role, text) for role, text in zip(["user", "assistant"] * len(turns), turns)))


def words(records):
    return [len(" ".join(message.content for message in record.messages[:-1]).split()) for record in records]


def echo(records, shots=None):
    """A model that answers with its whole prompt."""
    return [Answer("\n".join(message.content for message in record.messages[:-1]), tokens_in=1) for record in records]


def reads(records, shots=None):
    """A model that repeats the last word of the first passage, where it gets one."""
    return [Answer(next((line.split()[-1] for line in record.messages[-2].content.splitlines() if line.startswith("[1]")), "?")) for record in records]


ROWS = [talk("what does a viola cost", "420"), talk("hello", "hi", "who teaches the harp", "Lane")]
FACTS = {"what does a viola cost": ["a viola costs 420", "a harp costs 750"], "hello\nhi\nwho teaches the harp": ["the harp is taught by Lane"]}
MATERIALS = {"base": reads, "tuned": reads, "search": lambda questions: [FACTS[question] for question in questions], "lengths": words, "room": 60}


def test_a_text_stands_before_the_last_question_and_nothing_else_changes():
    made = before(ROWS[1], "Be brief.")
    assert [message.content for message in made.messages] == ["hello", "hi", "Be brief.\n\nwho teaches the harp", "Lane"]
    assert before(Labelled("late parcel", "delivery"), "Which?") == Labelled("Which?\n\nlate parcel", "delivery")
    assert before(Pair("a text", "its summary"), "Shorten.") == Pair("Shorten.\n\na text", "its summary")
    with pytest.raises(RecipeError, match="asks nothing"):
        before(Text("a book"), "x")
    with pytest.raises(RecipeError, match="no question"):
        before(Conversation((Message("assistant", "hello"),)), "x")


def test_as_many_passages_as_fit():
    passages = [["one " * 10, "two " * 10, "three " * 10]] * 2
    full, counts = with_passages(ROWS, passages, words, 1000)
    assert counts == [3, 3] and "[3] three" in full[0].messages[0].content
    some, counts = with_passages(ROWS, passages, words, 38)
    assert counts == [2, 1] or counts == [2, 2]
    assert max(words(some)) <= 38 and "[1] one" in some[0].messages[0].content
    begun, counts = with_passages(ROWS[:1], [["one " * 40]], words, 26)
    assert counts == [1] and begun[0].messages[0].content.count("one") == 10, "where not even the best fits whole, its beginning is laid"
    none, counts = with_passages(ROWS, passages, words, 3)
    assert counts == [0, 0] and none == ROWS, "where not even one fits, the question stays as it is"


@pytest.mark.parametrize("name", ["rag", "tuned_rag"])
def test_rag_answers_from_what_was_found(name):
    one = contestants.make(name, **MATERIALS)
    answers = one.answer(ROWS)
    assert [answer.text for answer in answers] == ["420", "Lane"] and all(answer.seconds > 0 for answer in answers)
    assert one.told == ["1.5 passages a question"]
    blind = contestants.make(name, **{**MATERIALS, "search": lambda questions: [[] for _ in questions]})
    assert [answer.text for answer in blind.answer(ROWS)] == ["?", "?"], "without passages it would not know"


def test_rag_needs_something_to_search():
    with pytest.raises(RecipeError, match="needs search"):
        contestants.make("rag", base=reads, lengths=words, room=9)


def test_the_instruction_is_chosen_on_validation_rows_only():
    seen = []

    def obeys(records, shots=None):
        seen.extend(records)
        return [Answer("good" if "please" in record.messages[-2].content else "bad") for record in records]

    validation, score = [talk("a", "good")], lambda answers, records: float(np.mean([answer.text == "good" for answer in answers]))
    one = contestants.make("prompt", base=obeys, validation=validation, score=score, lengths=words, room=9, instructions=["now", "please", "or else"])
    assert all(record.messages[-2].content.endswith("\n\na") for record in seen), "no test row is seen while choosing"
    assert "please" in one.note and one.answer([talk("b", "?")])[0].text == "good"
    first = contestants.make("prompt", base=obeys, validation=[], score=score, lengths=words, room=9, instructions=["now", "please"])
    assert one.answer([talk("b " * 9, "?")])[0].text == "bad", "where the instruction does not fit, the question stays"
    assert "no validation rows" in first.note and first.answer([talk("b", "?")])[0].text == "bad"


TRAIN = [talk(text, text.split()[-1]) for text in ("red violin", "red violin two", "red viola", "blue drum", "green horn", "black flute")]


def shown(**options):
    kept = []

    def respond(records, shots):
        kept.extend([[shot.messages[0].content for shot in each] for each in shots])
        return [Answer("x") for _ in records]

    contestants.make("few_shot", base=respond, train=TRAIN, **options).answer([talk("red violin", "?"), talk("blue drum", "?")])
    return kept


def test_examples_are_similar_random_or_diverse():
    assert [each[0] for each in shown(shots=2)] == ["red violin", "blue drum"]
    drawn = shown(shots=2, shots_by="random", seed=3)
    assert drawn[0] == drawn[1] and len(drawn[0]) == 2 and drawn != shown(shots=2, shots_by="random", seed=5)
    assert shown(shots=2)[0] == ["red violin", "red violin two"] and shown(shots=2, shots_by="diverse")[0][0] == "red violin"


def test_diverse_by_hand():
    assert spread(np.array([5, 6, 7]), np.array([1.0, 0.9, 0.5]), np.array([[1, 0.95, 0.1], [0.95, 1, 0.1], [0.1, 0.1, 1]]), 2) == [5, 7]


def test_the_number_of_examples_is_chosen_on_validation_rows():
    def best_with_four(records, shots):
        return [Answer("good" if len(each) == 4 else "bad") for each in shots]

    one = contestants.make("few_shot", base=best_with_four, train=TRAIN, shots="validation", validation=TRAIN[:2], score=lambda answers, records: float(answers[0].text == "good"))
    assert "at most 4" in one.note and one.answer(TRAIN[:1])[0].text == "good"


def test_copy_gives_the_question_back():
    assert [answer.text for answer in contestants.make("copy").answer(ROWS)] == ["what does a viola cost", "who teaches the harp"]


def test_passages_in_a_prompt_are_numbered_lines():
    assert laid(["a\nb", "c"]).splitlines()[1:] == ["[1] a b", "[2] c"]


def test_a_long_question_keeps_what_room_its_answer_needs():
    """Shots leave first; a question of 30 words stays where 35 fit beside its own answer, though 20 are left beside the longest of all."""
    class Renderer:
        when_long = "exclude"

        def prompts(self, asked):
            return [list(range(sum(len(message.content.split()) for message in messages))) for messages, _ in asked]

    messages = lambda record, shots: [message for one in (*shots, record) for message in one.messages[:-1]]
    asked, shots = [talk("word " * 30, "x"), talk("word " * 5, "x")], [[talk("shot " * 5, "x")] * 3] * 2
    assert [len(one) for one in fitting_prompts(Renderer(), asked, shots, messages, 20, rooms=[35, 35])] == [30, 20]
    for rooms in (None, [29, 35]):
        with pytest.raises(DataError, match="row 1 has 30 tokens; (20|29) fit"):
            fitting_prompts(Renderer(), asked, shots, messages, 20, rooms=rooms)
    longer = [Conversation((*talk("word " * 30, "x").messages, *talk("word " * 4, "x").messages))]
    with pytest.raises(DataError, match="35 tokens"):
        fitting_prompts(Renderer(), longer, None, messages, 20)
    Renderer.when_long = "drop_turns"
    assert [len(one) for one in fitting_prompts(Renderer(), longer, None, messages, 20)] == [4]
    assert rooms_beside(["an answer", "?"], [[1, 2], [3]], 40, 20) == [38, 20], "how long an answer becomes is open where none is known"
