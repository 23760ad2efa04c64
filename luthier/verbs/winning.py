"""What stands beside the verdict where answers are judged: answer against answer on unseen prompts, what was forgotten, whether a reward was hacked.

The starting model writes and reads before the first step, for where every weight is learned it is gone afterwards; the tuned model does the same at the
end. A judge that fails at the end costs the win rate and not the run.
"""
import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from luthier.data.records import Conversation, Prompt
from luthier.errors import RecipeError, WorkFailed
from luthier.evaluation.hacking import hacking
from luthier.evaluation.implicit_reward import implicit_reward
from luthier.evaluation.judge import INSTRUCTION, REPLY_TOKENS, judge
from luthier.evaluation.length_bias import length_bias
from luthier.evaluation.probes.forgetting import dearer
from luthier.evaluation.probes.general import texts
from luthier.evaluation.results import Result
from luthier.evaluation.settings import WinRateSettings
from luthier.evaluation.win_rate import Sides, by_judge, by_scores, win_rate
from luthier.files import digest, write_file
from luthier.generation.remote import Endpoint
from luthier.objectives.rewards import Reward
from luthier.objectives.writing import Writing
from luthier.runs.events import Event, Say
from luthier.runs.folder import Run
from luthier.tasks.answers import Answer
from luthier.tasks.pairs import answering
from luthier.tasks.prompts import Prompts, as_prompt, conversation
from luthier.tasks.task import Guarded, Reading
from luthier.verbs.comparing import chosen_rows, keep_answers, read_answers
from luthier.verbs.opening import Opened
from luthier.verbs.probing import nats_of_texts

NOBODY = "none"
REWARD = "reward"
"""The reward that was learned from."""


@dataclass
class Beside:
    """Both models' answers to the same unseen prompts, and what comes of them."""

    run: Run
    recipe: object
    task: object
    """The lesson, prepared."""
    renderer: object
    test: Sequence
    say: Say
    prompts: list[Prompt] = field(default_factory=list)
    before: list[Answer] = field(default_factory=list)
    nats: np.ndarray | None = None
    """Of each general text under the starting model."""

    # ---- who judges -----------------------------------------------------------------------------
    @property
    def settings(self) -> WinRateSettings:
        return self.recipe.evaluation.win_rate

    @property
    def by(self) -> str:
        """Who tells which answer is better."""
        if self.settings.by != "auto":
            return self.settings.by
        if not isinstance(self.task, Reading) or self.renderer.head != "causal":
            return NOBODY
        if isinstance(self.task, Prompts):
            return REWARD
        return f"task:{self.inner.headline}" if any(as_prompt(record).reference is not None for record in self.test) else NOBODY

    @property
    def inner(self):
        """The task that writes the answers."""
        return self.task.inner if isinstance(self.task, Reading) else self.task

    def endpoint(self) -> Endpoint:
        given = self.settings.endpoint
        return Endpoint(given.url, given.model, key_variable=given.key_variable, timeout=given.timeout, field="evaluation.win_rate.endpoint")

    # ---- before the first step --------------------------------------------------------------------
    def of_base(self, language_model, key: str) -> None:
        """What the starting model writes, and how it finds general text."""
        if self.renderer.head == "causal" and isinstance(self.task, Reading):
            self.nats = np.array(nats_of_texts(language_model, self.renderer, texts(self.recipe.evaluation.probes.general)))
        if self.by == NOBODY or not self.test:
            return
        self.prompts = self.chosen()
        if self.prompts:
            self.before = self.written("base", language_model, key)

    def check(self) -> None:
        """What can be known before anything is learned: RecipeError for a judge that the recipe does not describe or a task without answers; an endpoint is
        asked one question."""
        if self.by == NOBODY:
            return
        answering(self.inner, self.recipe.objective.name)
        if self.renderer.head != "causal":
            raise RecipeError("evaluation.win_rate compares written answers, and this model scores them", code="R198", field="evaluation.win_rate.by", hint="leave it out; a reward model is judged by preference_accuracy")
        if self.by == "endpoint" and self.settings.endpoint is None:
            raise RecipeError("evaluation.win_rate.by is endpoint, and no endpoint is named", code="R198", field="evaluation.win_rate.endpoint", hint="set evaluation.win_rate.endpoint.url and evaluation.win_rate.endpoint.model")
        if self.by == "endpoint":
            self.endpoint().ask([{"role": "user", "content": "Reply with the word tie."}], max_tokens=8)
            self.say(Event("note", f"unseen prompts and both models' answers to them will be sent to {self.settings.endpoint.url}, twice each", {"endpoint": self.settings.endpoint.url}))
        elif self.by != REWARD:
            self.reward().check()
        elif not isinstance(self.task, Prompts):
            raise RecipeError("evaluation.win_rate.by is reward, and this objective learns from none", code="R198", field="evaluation.win_rate.by", hint="name task:METRIC, run:NAME or endpoint")

    def reward(self) -> Reward:
        writing = self.recipe.objective
        return Reward([self.by], None, writing.confirm if isinstance(writing, Writing) else "")

    def chosen(self) -> list[Prompt]:
        """Different unseen prompts that leave room for an answer; where references decide, those that have one."""
        different = {json.dumps([(message.role, message.content) for message in one.messages]): one for one in map(as_prompt, self.test)}
        asked = [one for one in different.values() if not self.by.startswith("task:") or one.reference is not None]
        fitting = [one for one, prepared in zip(asked, self.writer.examples(asked, self.renderer), strict=True) if prepared.examples]
        return chosen_rows(fitting, self.settings.prompts)

    @property
    def writer(self) -> Prompts:
        """The task as one that answers prompts."""
        return Prompts(self.inner, self.inner.max_new_tokens, nothing)

    def written(self, name: str, language_model, key: str) -> list[Answer]:
        """Greedy answers, kept for a run that is resumed."""
        key = digest("written", name, key, self.by, str(self.settings.prompts), str(self.inner.max_new_tokens), str(len(self.prompts)))
        kept = read_answers(self.run, f"{name}.written", key)
        if kept is not None:
            return kept[0]
        self.say(Event("phase", f"{name} answers {len(self.prompts):,} unseen prompts", {"name": f"unseen prompts: {name}"}))
        answers = self.writer.answers(language_model, self.renderer, self.prompts, say=self.say)
        keep_answers(self.run, f"{name}.written", key, answers, {})
        return answers

    # ---- at the end -------------------------------------------------------------------------------
    def of_tuned(self, language_model, key: str, results: Mapping[str, Result]) -> dict[str, dict]:
        """`{implicit_reward, win_rate, forgetting, length_bias, reward_hacking}`, those of them that there are, each with its sentence."""
        options = {"confidence": self.recipe.evaluation.confidence, "resamples": self.recipe.evaluation.resamples, "seed": self.recipe.seed}
        found: dict[str, dict] = {}
        if "base" in results and (told := implicit_reward(results, [record.group for record in self.test], **options)):
            found["implicit_reward"] = told
        if self.prompts:
            found["win_rate"] = self.compared(self.written("tuned", language_model, key), options)
        if self.nats is not None:
            passages = texts(self.recipe.evaluation.probes.general)
            lost = dearer(passages, self.nats, np.array(nats_of_texts(language_model, self.renderer, passages)), seed=self.recipe.seed).to_dict()
            found["forgetting"] = {**lost, "sentence": f"Forgetting: {lost['sentence']}"}
        if (bias := results["tuned"].metrics.get("length_bias")) is not None:
            found["length_bias"] = length_bias(bias, **options)
        if isinstance(self.task, Guarded) and {"base", "tuned"} <= set(results):
            before, after = results["base"].metrics, results["tuned"].metrics
            found["reward_hacking"] = hacking(before, after, headline=self.task.headline, watched=self.task.guards(after), win_rate=found.get("win_rate"), **options)
            if found["reward_hacking"]["found"]:
                self.say(Event("warning", found["reward_hacking"]["sentence"], {"code": "T305", "step": 0}))
        return found

    def compared(self, after: list[Answer], options: dict) -> dict:
        """The win rate, and a row for each prompt in `win_rate.jsonl`."""
        sides = Sides([told(one) for one in self.prompts], [one.text for one in self.before], [one.text for one in after], [one.group for one in self.prompts])
        try:
            outcomes, rows, more = self.outcomes(sides)
        except WorkFailed as error:
            self.say(Event("warning", f"there is no win rate: {error.message}", {"code": error.code, "step": 0}))
            return {"by": self.by, "n": 0, "left_out": len(self.prompts), "sentence": f"There is no win rate by {self.by}, for it failed"}
        lines = [
            {"row": at + 1, "prompt": prompt, "before": first, "after": second, "outcome": outcome, **row}
            for at, (prompt, first, second, outcome, row) in enumerate(zip(sides.prompts, sides.before, sides.after, outcomes, rows, strict=True))
        ]
        write_file(self.run.evaluation_folder / "win_rate.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        return win_rate(sides, outcomes, by=self.by, more=more, **options)

    def outcomes(self, sides: Sides) -> tuple[list[float | None], list[dict], dict]:
        """Outcome of each prompt, what is kept of how it came about, and what is known about the judge."""
        if self.by == "endpoint":
            endpoint = self.endpoint()
            found = judge(lambda messages: endpoint.ask(messages, max_tokens=REPLY_TOKENS).text, sides.prompts, sides.before, sides.after, instruction=self.settings.instruction or INSTRUCTION)
            return [one.outcome for one in found], [{"replies": one.replies} for one in found], by_judge(found)
        grade = self.task.grade if self.by == REWARD else self.reward()
        scores = [grade(self.inner, self.prompts, list(answers)) for answers in (sides.before, sides.after)]
        return by_scores(*scores), [{"scores": pair} for pair in zip(*scores, strict=True)], {}


# ---- for probes -----------------------------------------------------------------------------------
def as_written(base: Opened, tuned: Opened, train: Sequence, test: Sequence, say: Say) -> tuple[Opened, Opened, list, list, tuple] | None:
    """What probes ask of a run that learned from judgements: its records as talks that end with the good answer, the task that writes, and what both models
    write to the unseen ones. None where there are no such talks, and probes ask the run as it is."""
    if not isinstance(base.task, Reading) or base.renderer.head != "causal":
        return None
    talks = [talks_of(base, rows) for rows in (train, test)]
    if not talks[1]:
        return None
    base, tuned = (dataclasses.replace(one, task=one.task.inner) for one in (base, tuned))
    answers = tuple(one.task.answers(one.language_model, one.renderer, talks[1], say=say) for one in (base, tuned))
    return base, tuned, *talks, answers


def talks_of(opened: Opened, records: Sequence) -> list[Conversation]:
    """Different talks that leave room for an answer, with the good answer of each."""
    prompts = [one for one in map(as_prompt, records) if one.reference is not None]
    different = list({json.dumps([(message.role, message.content) for message in one.messages]): one for one in prompts}.values())
    writer = Prompts(opened.task.inner, opened.task.inner.max_new_tokens, nothing)
    return [conversation(one) for one, prepared in zip(different, writer.examples(different, opened.renderer), strict=True) if prepared.examples]


def nothing(task, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[None]:
    """No rewards."""
    return [None] * len(answers)


def told(prompt: Prompt) -> str:
    """A prompt as a judge reads it: the question alone, or the talk turn by turn."""
    turns = prompt.messages
    return turns[0].content if len(turns) == 1 else "\n".join(f"{turn.role}: {turn.content}" for turn in turns)
