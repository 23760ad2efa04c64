"""Templates are code from strangers: 48 ways out of the sandbox end in nothing, bombs end in a second, ordinary work goes on."""
import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_styles import STYLES

from luthier.errors import Refused
from luthier.preparation.templates import WORKER, ChatTemplate, Request

CANARY = "luthier-canary-7431"
ASK = [{"role": "user", "content": "hello"}]
SHELL = f"echo {CANARY}-ran; touch {{path}}"

ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__base__']['__subclasses__']() }}",
    "{{ ''|attr('__class__')|attr('__mro__')|last|attr('__subclasses__')() }}",
    "{{ (1).__class__.__bases__[0].__subclasses__() }}",
    "{{ [].__class__.__base__.__subclasses__() }}",
    "{{ {}.__class__.__base__.__subclasses__() }}",
    "{{ ().__class__.__base__.__subclasses__() }}",
    "{{ messages.__class__.__init__.__globals__ }}",
    "{{ self.__init__.__globals__.__builtins__.__import__('os').popen('SHELL').read() }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__.os.popen('SHELL').read() }}",
    "{{ cycler.__init__.__globals__.os.popen('SHELL').read() }}",
    "{{ joiner.__init__.__globals__.os.popen('SHELL').read() }}",
    "{{ namespace.__init__.__globals__.os.popen('SHELL').read() }}",
    "{{ lipsum.__globals__['os'].popen('SHELL').read() }}",
    "{{ lipsum|attr('__globals__') }}",
    "{{ lipsum['__glo' + 'bals__'] }}",
    "{{ url_for.__globals__.os.popen('SHELL').read() }}",
    "{{ config.items() }}{{ request.application.__globals__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__globals__ }}{{ strftime_now.__closure__ }}",
    "{{ strftime_now.__code__.co_consts }}",
    "{{ tojson.__globals__ }}{{ range.__class__ }}",
    "{{ dict.__class__.__base__ }}",
    "{{ dict.fromkeys.__func__.__globals__ }}",
    "{{ dict(__class__=1).__class__.__base__.__subclasses__() }}",
    "{{ '%s' | format(''.__class__) }}{{ ''.__class__.__base__ }}",
    "{{ '{0.__class__.__base__}'.format('') }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(raise_exception) }}",
    "{{ '{x.__class__}'.format_map({'x': 1}) }}",
    "{% set f = '{0.__class__.__mro__}'.format %}{{ f('') }}",
    "{{ ('{0.__cl' ~ 'ass__.__mro__}').format(messages) }}",
    "{{ ['']|map(attribute='__class__')|list }}",
    "{{ ['']|map('attr', '__class__')|list }}",
    "{{ ['']|groupby('__class__') }}",
    "{{ ['']|sort(attribute='__class__.__name__') }}",
    "{{ ['']|selectattr('__class__')|list }}",
    "{{ ['']|sum(attribute='__class__') }}",
    "{{ ['{0.__class__.__base__}']|map('format', '')|list }}",
    "{% set ns = namespace(__class__=messages) %}{{ ns }}",
    "{% set ns = namespace() %}{% set ns.__init__ = 1 %}",
    "{% macro m() %}{{ caller.__globals__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{% for x in [1] recursive %}{{ loop.__class__.__init__.__globals__ }}{% endfor %}",
    "{% for x in [1] %}{{ loop._iterable.__class__.__base__ }}{{ loop.__init__.__globals__ }}{% endfor %}",
    "{{ (messages|map('string')|first).__class__.mro() }}",
    "{% import 'os' as os %}{{ os.popen('SHELL').read() }}",
    "{% include '/etc/passwd' %}",
    "{% extends '/etc/passwd' %}",
    "{{ messages.append({'role': 'x'}) }}{{ messages[0].update({'role': 'x'}) }}",
    "{{ (g for g in [1]).gi_frame.f_back.f_builtins }}",
    "{{ messages.pop.__self__ }}{{ [].append.__self__.__class__ }}",
    "{{ open('/etc/passwd').read() }}{{ __import__('os').system('SHELL') }}",
]
TELLTALE = ("<class", "<module", "subclass", "built-in", "builtins", "<function", "0x7f", "root:", f"{CANARY}-ran", "<slot wrapper")


def rendered(template: str, **bounds) -> str:
    made = ChatTemplate(template, {"bos_token": "<s>"}, **bounds)
    try:
        return made.render([Request(ASK)])[0].text
    finally:
        made.close()


@pytest.mark.parametrize("payload", ESCAPES)
def test_no_template_leaves_the_sandbox(payload, tmp_path):
    """F-1: refused, or rendered to nothing of Python's insides; nothing runs and no file appears."""
    path = tmp_path / CANARY
    try:
        text = rendered(payload.replace("SHELL", SHELL.format(path=path)))
    except Refused as refused:
        assert refused.code in ("S110", "S114") and refused.exit_code == 9
    else:
        assert not [sign for sign in TELLTALE if sign in text]
    assert not path.exists()


def test_the_payloads_have_power(tmp_path):
    """Negative control: in a plain environment, in a process of its own, the same payloads do reach Python's insides."""
    script = """
import json, sys, jinja2
reached = 0
payloads, signs = json.load(sys.stdin)
for payload in payloads:
    try:
        text = jinja2.Environment().from_string(payload).render(messages=[{"role": "user"}])
    except Exception:
        continue
    reached += any(sign in text for sign in signs)
print(reached)
"""
    payloads = [payload.replace("SHELL", SHELL.format(path=tmp_path / CANARY)) for payload in ESCAPES]
    done = subprocess.run([sys.executable, "-c", script], input=json.dumps([payloads, TELLTALE]), capture_output=True, text=True, timeout=60)
    assert int(done.stdout) >= 15 and (tmp_path / CANARY).exists()
    assert len(ESCAPES) >= 40


def test_payloads_in_data_are_only_text():
    """On every way that data takes (content, role, name, tools) a payload comes out as it went in."""
    template = ChatTemplate("{{ bos_token }}{% for m in messages %}{{ m.role }}|{{ m.content }}|{{ m.name }}\n{% endfor %}{{ tools | tojson }}", {})
    for payload in ESCAPES:
        message = {"role": payload, "content": payload, "name": payload}
        text = template.render([Request([message], [{"description": payload}])])[0].text
        assert text == f"{payload}|{payload}|{payload}\n" + json.dumps([{"description": payload}], ensure_ascii=False)
    template.close()


BOMBS = {
    "nested ranges": ("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}", "S111"),
    "long string": ("{{ 'a' * 2000000000 }}", "S112"),
    "wide format": ("{{ '%0200000000d' % 3 }}", "S112"),
    "wide format of data": ("{% for m in messages %}{{ '%0200000000d' % (m.content|length) }}{% endfor %}", "S112"),
    "macro recursion": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "S112"),
    "growing list": ("{% set ns = namespace(x=[0]) %}{% for a in range(1000) %}{% set ns.x = ns.x + ns.x %}{% endfor %}", "S112"),
    "growing number": ("{% set ns = namespace(x=9) %}{% for a in range(100) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}", "S111"),
    "growing power": ("{{ 9 ** (9 ** 9) }}", "S111"),
    "endless output": ("{% for a in range(100000) %}{{ 'x' * 100000 }}{% endfor %}", "S112"),
    "repeated data": ("{{ (messages | string) * 100000000 }}", "S112"),
    "batched": ("{{ range(100000)|batch(1)|list|tojson(indent=100000) }}", "S112"),
    "huge template": ("{% if true %}x{% endif %}" * 500_000, "S113"),
    "deep template": ("{% if true %}" * 5000 + "{% endif %}" * 5000, "S112"),
    "deep expression": ("{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}", "S112"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_stopped(name):
    """F-2: in at most one second of CPU time; the worker dies or gives up, this process does not grow."""
    source, code = BOMBS[name]
    before, children = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(Refused) as refused:
        rendered(source)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert refused.value.code in (code, "S111", "S112")
    assert after.ru_utime + after.ru_stime - children.ru_utime - children.ru_stime < 1.0 + 1.0  # the render, and the start of a Python
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits of a process are read from /proc")
def test_the_kernel_holds_the_worker_to_its_memory():
    """256 MB of address space, asked of the kernel itself; the bombs above end by it."""
    template = ChatTemplate("{{ messages[0].content }}", {})
    template.render([Request(ASK)])
    limits = Path(f"/proc/{template._process.pid}/limits").read_text()
    assert re.search(r"Max address space +268435456 +268435456", limits) and re.search(r"Max open files +0 +0", limits) and re.search(r"Max file size +0 +0", limits)
    template.close()


def test_after_a_bomb_the_next_conversation_renders():
    """A template that only some rows blow up: that call is refused, the worker is replaced, the next row is served."""
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% if m.content == 'boom' %}{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}{% endif %}{% endfor %}", {}, seconds=0.3)
    for _ in range(2):
        with pytest.raises(Refused, match="CPU time"):
            template.render([Request(ASK), Request([{"role": "user", "content": "boom"}]), Request(ASK)])
        assert [item.text for item in template.render([Request(ASK)] * 3)] == ["hello"] * 3
    template.close()


def test_a_conversation_that_the_template_refuses_is_told_not_fatal():
    template = ChatTemplate("{% for m in messages %}{% if m.role == 'odd' %}{{ raise_exception('no odd  roles\nhere') }}{% endif %}{{ m.nothing.at.all if m.role == 'broken' else m.content }}{% endfor %}", {})
    first, second, third = template.render([Request([{"role": role, "content": "c"}]) for role in ("odd", "broken", "user")])
    assert first.error == "no odd roles here" and "undefined" in second.error.lower() and third.text == "c"
    template.close()


def test_the_worker_cannot_open_files_or_start_programs():
    """Even where the sandbox had a hole, the process has no descriptor to open, no file to grow and no environment to read."""
    probe = "import importlib.util,sys,resource;s=importlib.util.spec_from_file_location('w',sys.argv[1]);w=importlib.util.module_from_spec(s);s.loader.exec_module(w);w.warm_up();w.limit(256)\ntry:\n open('/etc/passwd')\nexcept OSError: print('no file', 'torch' in sys.modules, resource.getrlimit(resource.RLIMIT_FSIZE))"
    done = subprocess.run([sys.executable, "-I", "-c", probe, str(WORKER)], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["no", "file", "False", "(0,", "0)"]


def test_the_worker_ends_with_its_owner():
    template = ChatTemplate("{{ messages[0].content }}", {})
    template.render([Request(ASK)])
    process = template._process
    del template
    assert process.poll() is not None


def test_big_batches_do_not_wait_on_full_pipes():
    template = ChatTemplate("{% for m in messages %}{{ m.content }}{% endfor %}", {})
    texts = [f"{number} " * 3000 for number in range(300)]
    assert [item.text for item in template.render([Request([{"role": "user", "content": text}]) for text in texts])] == texts
    template.close()


def test_three_thousand_conversations_a_second(record_property):
    """The figure is printed by `pytest -rP`; the bound leaves room for a busy machine."""
    template = ChatTemplate(STYLES["chatml"].template, {})
    messages = [{"role": role, "content": "the guitar string is in tune " * 3} for role in ("system", "user", "assistant")]
    template.render([Request(messages, turns=(2,))])
    started = time.process_time(), time.perf_counter()
    template.render([Request(messages, turns=(2,))] * 3000)
    rate = 3000 / (time.perf_counter() - started[1])
    record_property("conversations_per_second", round(rate))
    print(f"{rate:.0f} conversations/s")
    assert rate > 500
    template.close()


def test_a_fixed_day_fixes_the_date():
    template = ChatTemplate("{{ strftime_now('%d %b %Y') }}", {}, today="2026-02-03")
    assert template.render([Request(ASK)])[0].text == "03 Feb 2026"
    template.close()


def test_what_is_shared_is_found_to_the_character():
    import importlib.util

    spec = importlib.util.spec_from_file_location("template_worker", WORKER)
    worker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(worker)
    assert worker.shared("abcdef", "abc") == 3 and worker.shared("abc", "abcdef") == 3
    assert worker.shared("abXdef", "abcdef") == 2 and worker.shared("", "a") == 0 and worker.shared("x", "a") == 0


def test_an_interrupted_exchange_leaves_no_stale_replies(monkeypatch):
    """Ctrl-C while replies are on their way: the next question gets its own answer."""
    template = ChatTemplate("{{ messages[0].content }}", {})
    template.render([Request(ASK)])
    with monkeypatch.context() as patch:
        patch.setattr("luthier.preparation.templates.json.loads", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            template.render([Request([{"role": "user", "content": f"old {number}"}]) for number in range(5)])
    assert template.render([Request([{"role": "user", "content": "new"}])])[0].text == "new"
    template.close()
