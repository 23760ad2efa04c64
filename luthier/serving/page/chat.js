// A talk with one model, or with two side by side. Text from models and people is only ever put in as text.
"use strict";
const at = id => document.getElementById(id);
const talks = { first: [], second: [] };
const WRITES = ["chat", "causal_lm", "seq2seq"];
const tasks = {};
let running = [];

async function start() {
  const answer = await fetch("/v1/models");
  if (!answer.ok) { at("state").textContent = "the server refuses: " + answer.status; return; }
  const models = (await answer.json()).data.filter(model => WRITES.includes(model.task));
  for (const model of models) tasks[model.id] = model.task;
  for (const id of ["model", "other"]) for (const model of models) at(id).add(new Option(model.id + (model.parent ? " (on " + model.parent + ")" : ""), model.id));
  const tuned = models.find(model => model.parent), base = models.find(model => !model.parent);
  if (tuned) at("model").value = tuned.id;
  if (base) at("other").value = base.id;
  if (tuned && base) { at("beside").checked = true; }
  layout();
}

function layout() {
  const both = at("beside").checked;
  at("other").hidden = !both;
  at("second").hidden = !both;
  at("first").querySelector("h2").textContent = at("model").value || "no model writes text here";
  at("second").querySelector("h2").textContent = at("other").value;
}

function fresh() {
  halt();
  for (const side of ["first", "second"]) { talks[side] = []; at(side).querySelector(".turns").replaceChildren(); }
  at("state").textContent = "";
}

function halt() { for (const control of running) control.abort(); running = []; }

function show(side, role, text) {
  const turn = document.createElement("div");
  turn.className = "turn " + role;
  turn.textContent = text;
  at(side).querySelector(".turns").append(turn);
  turn.scrollIntoView({ block: "end" });
  return turn;
}

async function ask(side, model, words) {
  const control = new AbortController(), turn = show(side, "assistant", ""), began = performance.now();
  running.push(control);
  const earlier = tasks[model] === "seq2seq" ? [] : talks[side];  // what rewrites a text learned no talk
  const messages = [...earlier, { role: "user", content: words }];
  let text = "", first = 0, usage = null;
  const note = document.createElement("span");
  note.className = "note";
  try {
    const body = { model, messages, stream: true, stream_options: { include_usage: true }, temperature: Number(at("temperature").value), max_tokens: Number(at("tokens").value) };
    const answer = await fetch("/v1/chat/completions", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: control.signal });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    for await (const event of events(answer.body)) {
      if (event.error) throw new Error(event.error.message);
      if (event.usage) usage = event.usage;
      const piece = event.choices.length ? event.choices[0].delta.content || "" : "";
      if (piece && !first) first = performance.now();
      text += piece;
      turn.textContent = text;
      turn.scrollIntoView({ block: "end" });
    }
  } catch (error) {
    if (error.name !== "AbortError") { turn.classList.add("error"); turn.textContent = text + (text ? "\n" : "") + error.message; }
  }
  talks[side].push({ role: "user", content: words }, { role: "assistant", content: text });
  if (usage) note.textContent = usage.completion_tokens + " tokens, first after " + Math.round(first - began) + " ms, " + ((performance.now() - began) / 1000).toFixed(1) + " s";
  turn.append(note);
  running = running.filter(other => other !== control);
}

async function* events(stream) {
  const reader = stream.getReader(), decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = parts.pop();
    for (const part of parts) if (part.startsWith("data: ") && part !== "data: [DONE]") yield JSON.parse(part.slice(6));
  }
}

async function send(event) {
  event.preventDefault();
  const words = at("words").value.trim();
  if (!words || running.length || !at("model").value) return;
  at("words").value = "";
  at("send").hidden = true; at("stop").hidden = false;
  const sides = at("beside").checked ? ["first", "second"] : ["first"];
  for (const side of sides) show(side, "user", words);
  await Promise.all(sides.map(side => ask(side, at(side === "first" ? "model" : "other").value, words)));
  at("send").hidden = false; at("stop").hidden = true;
  at("words").focus();
}

at("ask").addEventListener("submit", send);
at("words").addEventListener("keydown", event => { if (event.key === "Enter" && !event.shiftKey) send(event); });
at("stop").addEventListener("click", halt);
at("new").addEventListener("click", fresh);
for (const id of ["model", "other", "beside"]) at(id).addEventListener("change", () => { fresh(); layout(); });
start();
