"""Writes snippets.json: small templates and what jinja2, set up as transformers does it, makes of them, or that it refuses.
Usage: python make.py > snippets.json"""
import datetime, json
import jinja2, transformers
from transformers.utils import chat_template_utils as u

NOW = datetime.datetime(2026, 11, 4, 9, 5, 7)
class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None): return NOW
u.datetime = Clock

VARS = {"n": 3, "f": 2.5, "s": "héllo wörld", "e": "", "none": None, "l": [3, 1, 2], "m": [{"role": "user", "content": " Hi "}, {"role": "assistant", "content": "Yo", "x": {"y": [1, 2]}}],
        "d": {"b": 1, "a": [True, None], "items": "shadowed", "Z": 2.0}, "t": True, "words": ["b", "A", "c", "a"], "deep": {"a": {"b": {"c": "end"}}}, "html": "<a href='x'>&</a>"}

S = r"""
{{ n + 1 }} {{ n - 5 }} {{ n * 2.0 }} {{ 7 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }}
{{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 123456789.123 }} {{ 1e-5 }} {{ 0.0001 }} {{ 1e400 }} {{ 0.1 + 0.2 }} {{ 5 % 2.5 }} {{ 3.7 // 1 }}
{{ "a" + "b" }} {{ "a" ~ 1 ~ none ~ t }} {{ "ab" * 3 }} {{ 3 * "ab" }} {{ "x" * -1 }}|{{ [1] + [2] }} {{ [0] * 2 }} {{ (1,) + (2, 3) }} {{ (1, 2) }} {{ (1,) }} {{ () }}
{{ l }} {{ d }} {{ m }} {{ none }} {{ t }} {{ undefined_thing }}|{{ ['it\'s', "q\"q", 'both\'"', 'new\nline', 'tab\t', 'é', '\x01', '\u200b'] }}
{{ 1 < 2 < 3 }} {{ 1 < 2 > 5 }} {{ "a" < "b" }} {{ [1, 2] < [1, 3] }} {{ 1 == 1.0 }} {{ true == 1 }} {{ "1" == 1 }} {{ none == false }} {{ l == [3, 1, 2] }} {{ l == (3, 1, 2) }} {{ d == d }}
{{ 1 in l }} {{ "h" in s }} {{ "b" in d }} {{ 9 not in l }} {{ not 1 in l }} {{ "x" in undefined_thing }}
{{ 1 and 0 }} {{ 0 or "x" }} {{ not e }} {{ e or none or [] }} {{ t and s }}
{{ "yes" if t else "no" }} {{ "yes" if e }}|{{ 1 if e else 2 if none else 3 }}
{{ s[0] }} {{ s[-1] }} {{ s[1:4] }} {{ s[::-1] }} {{ s[::2] }} {{ s[-3:] }} {{ s[:-3] }} {{ s[99] }}|{{ s[99:] }}|{{ l[::-1] }} {{ l[1:] }} {{ l[-2] }} {{ l[5:1:-1] }} {{ l[0:3:2] }} {{ m[::-1][0].role }} {{ (1,2,3)[1:] }} {{ l[:1000000000000] }} {{ l[-1000:2] }} {{ l[2:-1000:-1] }}
{{ m[0].role }} {{ m[0]['content'] }}|{{ m[1].x.y[1] }} {{ m[0].missing }}|{{ m[0].missing is defined }} {{ m[5] is defined }} {{ d['b'] }} {{ d.b }} {{ d['nope'] }}|{{ deep.a.b.c }}
{{ d.items() | list }} {{ d['items'] }} {{ d.keys() }} {{ d.values() | list }} {{ d.get('b') }} {{ d.get('q') }} {{ d.get('q', 7) }} {{ d.items() | length }} {{ d.items() is sequence }} {{ d.keys() is iterable }} {{ d.items is callable }}
{{ m[0].missing.deeper }}
{{ undefined_thing.x }}
{{ undefined_thing + 1 }}
{{ undefined_thing() }}
{{ none.x }}|{{ none['x'] is defined }}
{{ none + 1 }}
{{ "a" + 1 }}
{{ 1 / 0 }}
{{ 1 % 0 }}
{{ l.append(1) }}
{{ d.update(x=1) }}
{{ d.pop('b') }}
{{ l.append is defined }}
{{ s.__class__ }}
{{ ''.__class__.__mro__ }}
{{ 1 < "a" }}
{{ [1] < (1,) }}
{{ 1 in 2 }}
{{ s.upper() }} {{ s.title() }} {{ s.capitalize() }} {{ "STRASSE ß ŉ".lower() }} {{ "straße ŉ ǆ".upper() }} {{ "ΑΣ ΑΣΑ".lower() }} {{ "they're bill's".title() }} {{ "ǆ".title() }} {{ "İ".lower() }}
{{ "  x ".strip() }}|{{ "  x ".lstrip() }}|{{ "  x ".rstrip() }}|{{ "xxaxx".strip("x") }} {{ "abcab".strip("ab") }} {{ "\u00a0\u3000x\u200b".strip() }}|{{ "a\x1fb".split() }}
{{ "a,b,,c".split(",") }} {{ " a  b c ".split() }} {{ "a,b,c".split(",", 1) }} {{ " a  b c ".split(none, 1) }} {{ "a,b,c".rsplit(",", 1) }} {{ " a  b c ".rsplit(maxsplit=1) }} {{ "".split() }} {{ "".split(",") }} {{ "abc".split("bc") }} {{ "a b".split(sep=" ") }}
{{ "abc".startswith("ab") }} {{ "abc".endswith(("x", "c")) }} {{ "abc".replace("b", "XX") }} {{ "aaa".replace("a", "b", 2) }} {{ "abc".replace("", "-") }} {{ "abc".find("c") }} {{ "abc".find("z") }} {{ "ééa".find("a") }} {{ "abab".rfind("b") }} {{ "abab".count("ab") }} {{ "abab".index("b", 2) }} {{ "-".join(["a", "b"]) }} {{ "abc".removeprefix("a") }} {{ "abc".removesuffix("bc") }} {{ "a=b=c".partition("=") }} {{ "a=b=c".rpartition("=") }} {{ "abc".partition("z") }} {{ "abc".rpartition("z") }} {{ "5".zfill(3) }} {{ "-5".zfill(4) }} {{ "a".ljust(3) }}|{{ "a".rjust(3, "*") }}
{{ "a\nb\r\nc\u2028d\x0be".splitlines() }} {{ "a\n\nb\n".splitlines(true) }} {{ "abc".isalpha() }} {{ "12".isdigit() }} {{ "a1".isalnum() }} {{ " ".isspace() }} {{ "AB".isupper() }} {{ "ab1".islower() }} {{ "".isdigit() }}
{{ "{} {}".format(1, "x") }} {{ "{1} {0}".format(1, 2) }} {{ "{a}".format(a=5) }} {{ "{{}}".format() }} {{ "{:.2f}".format(3.14159) }} {{ "{:05d}".format(42) }} {{ "%s is %d" % ("x", 5) }} {{ "%5.1f|%-5s|%05d" % (2.55, "a", 42) }} {{ "100%%" % () }} {{ "%s" % "one" }} {{ "%r" % "one" }} {{ "%(k)s" % {"k": 1} }}
{{ "abc".index("z") }}
{{ "-".join([1]) }}
{{ "%d" % "x" }}
{{ "%s %s" % "one" }}
{{ words | sort }} {{ words | sort(case_sensitive=true) }} {{ words | sort(reverse=true) }} {{ l | sort | reverse | list }} {{ l | max }} {{ l | min }} {{ l | sum }} {{ l | first }} {{ l | last }} {{ [] | first }}|{{ words | join(", ") }} {{ l | join }} {{ m | join("/", attribute="role") }} {{ words | unique | list }} {{ s | reverse }} {{ words | max }}
{{ m | map(attribute="role") | list }} {{ words | map("upper") | join }} {{ m | selectattr("role", "equalto", "user") | list }} {{ m | selectattr("x") | map(attribute="role") | list }} {{ m | rejectattr("x", "defined") | list | length }} {{ l | select("gt", 1) | list }} {{ l | reject("odd") | list }} {{ [0, 1, e] | select | list }} {{ m | map(attribute="x.y.0", default="-") | list }} {{ words | map("replace", "a", "z") | list }}
{{ (m | selectattr("nope")) and 1 }} {{ (m | map(attribute="role")) is sequence }} {{ (l | select) is iterable }}
{{ m | selectattr("nope") | tojson }}
{{ d | tojson }} {{ d | tojson(indent=2) }} {{ [] | tojson(indent=2) }} {{ {} | tojson }} {{ s | tojson }} {{ s | tojson(ensure_ascii=true) }} {{ "😀\u2028\x7f\x01\"\\/" | tojson }} {{ "😀" | tojson(ensure_ascii=true) }} {{ d | tojson(sort_keys=true) }} {{ [1.0, 1e22, none, false] | tojson }} {{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }} {{ [[], {}] | tojson(indent=4) }} {{ l | tojson(separators=(",", ":")) }} {{ (1, 2) | tojson }} {{ html | tojson }} {{ l | tojson(indent="\t") }}
{{ undefined_thing | tojson }}
{{ d.keys() | tojson }}
{{ {"a": 1, "a": 2} }} {{ {1: "i", 1.0: "f", true: "b"} }} {{ {"k": [1, {"z": (1,)}]} }}
{{ d | dictsort }} {{ d | dictsort(reverse=true) }} {{ {"x": 2, "y": 1} | dictsort(by="value") }} {{ d | items | list }} {{ undefined_thing | items | list }}
{{ d | length }} {{ s | length }} {{ undefined_thing | length }} {{ l | count }} {{ undefined_thing | default("dflt") }} {{ e | default("dflt", true) }} {{ none | default("x") }} {{ undefined_thing | d }}|
{{ 5 | length }}
{{ "3" | int }} {{ "3.9" | int }} {{ "x" | int }} {{ "x" | int(7) }} {{ "ff" | int(base=16) }} {{ 3.9 | int }} {{ "2.5" | float }} {{ "x" | float }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 2.345 | round(2) }} {{ 2.1 | round(0, "ceil") }} {{ -3 | abs }} {{ 5 | string ~ "x" }} {{ true | int }} {{ none | string }}
{{ "  x  " | trim }}|{{ "xxaxx" | trim("x") }} {{ "a\nb\n\nc" | indent }} {{ "a\nb" | indent(2, true) }} {{ "a\n\nb" | indent(2, blank=true) }} {{ "a\nb" | indent("> ") }} {{ "hello there-you (me)" | title }} {{ s | capitalize }} {{ s | upper }} {{ "a b" | replace(" ", "_") }} {{ "a b c" | wordcount }} {{ s | list }} {{ "x" | string }} {{ "%s-%s" | format(1, 2) }}
{{ html | e }} {{ html | safe }} {{ (html | safe) + "<" }} {{ "<" + (html | safe) }} {{ html | safe ~ "<" }} {{ html | escape | length }} {{ html | e | e }}
{{ m | attr("x") }}|{{ "abc" | list | last }} {{ range(5) | list }} {{ range(2, 10, 3) | list }} {{ range(5, 0, -2) | list }} {{ range(0) | list }}
{{ 3 is odd }} {{ 4 is even }} {{ 9 is divisibleby 3 }} {{ s is string }} {{ d is mapping }} {{ l is sequence }} {{ s is sequence }} {{ d is sequence }} {{ s is iterable }} {{ 5 is iterable }} {{ none is none }} {{ t is true }} {{ 1 is true }} {{ t is boolean }} {{ 1 is integer }} {{ t is integer }} {{ 1.0 is float }} {{ t is number }} {{ undefined_thing is undefined }} {{ undefined_thing is sequence }} {{ undefined_thing is iterable }} {{ undefined_thing is mapping }} {{ 1 is in l }} {{ 1 is eq 1 }} {{ 1 is not eq 2 }} {{ none is sameas none }} {{ 1 is sameas true }} {{ "a" is lower }} {{ "A1" is upper }} {{ "upper" is filter }} {{ range is callable }} {{ 3 is gt 2 and 2 is lt 3 }} {{ n is defined and n == 3 }} {{ not n is defined }} {{ 2 + 3 is odd }}
{{ n is defined is true }}
{% for x in l %}{{ loop.index }}/{{ loop.index0 }}/{{ loop.revindex }}/{{ loop.revindex0 }}/{{ loop.first }}/{{ loop.last }}/{{ loop.length }}/{{ loop.previtem }}/{{ loop.nextitem }}/{{ loop.depth }}/{{ loop.cycle("a", "b") }}/{{ loop.changed(x > 1) }};{% endfor %}
{% for x in [] %}a{% else %}empty{% endfor %} {% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %} {% for x in l if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% endfor %} {% for x in undefined_thing %}{% else %}none{% endfor %} {% for c in "añ" %}[{{ c }}]{% endfor %} {% for k in d %}{{ k }}{% endfor %} {% for (a, b) in [(1, 2)] %}{{ a }}{{ b }}{% endfor %}
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 4 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in l recursive %}{{ x }}{% endfor %} {% for x in [[1, [2]], [3]] recursive %}({% if x is iterable %}{{ loop(x) }}{% else %}{{ x }}@{{ loop.depth }}{% endif %}){% endfor %}
{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }} {% set ns = namespace(v=1, w="a") %}{% for i in l %}{% set ns.v = ns.v + i %}{% endfor %}{{ ns.v }} {{ ns.w }} {{ ns.q is defined }} {% if t %}{% set y = 5 %}{% endif %}{{ y }} {% set a, b = 1, 2 %}{{ a }}{{ b }} {% set c = 1, 2 %}{{ c }} {% with z = 4, q = n %}{{ z }}{{ q }}{% endwith %}{{ z }}|{% set tt %}text {{ n }}{% endset %}{{ tt | upper }} {% set tu | upper | replace("E", "3") %}text{% endset %}{{ tu }}
{% for i in l %}{% if loop.first %}{% set q = i %}{% endif %}{{ q }}|{% endfor %}
{% set x.y = 1 %}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% macro f(a, b=2, c=a) %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ f(1) }} {{ f(1, 3) }} {{ f(b=5, a=4) }} {{ f() }} {{ f.name }} {{ f.arguments }}
{% macro f(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1, 2, 3, k=4) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1, 2) }}
{% macro f(a) %}{{ a }}{% endmacro %}{{ f(z=2) }}
{% macro f() %}[{{ caller() }}]{% endmacro %}{% call f() %}body {{ n }}{% endcall %} {% macro g() %}{{ caller(1, "x") }}{% endmacro %}{% call(a, b) g() %}{{ a }}{{ b }}{% endcall %}
{% macro fact(k) %}{% if k > 1 %}{{ k }}*{{ fact(k - 1) }}{% else %}1{% endif %}{% endmacro %}{{ fact(5) }} {% set outer = "o" %}{% macro seeouter() %}{{ outer }}{{ later }}{% endmacro %}{% set later = "l" %}{{ seeouter() }}
{% filter upper %}shout {{ s }}{% endfilter %} {% raw %}{{ not }} {% this %}{% endraw %} {# comment #}x{#- tight -#} y
{% if e %}a{% elif none %}b{% elif n == 3 %}c{% else %}d{% endif %} {% if not t %}x{% endif %}|
{%- if t -%}   tight   {%- endif -%}   | {{- "x" -}}  y  {{ "z" }}
{{ raise_exception("boom " ~ n) }}
{{ strftime_now("%d %b %Y") }} {{ strftime_now("%Y-%m-%d %H:%M:%S %A %B %a %p %I %j %y %%") }} {{ strftime_now("%-d/%-m %e") }}
{{ dict(a=1, b=2) }} {{ dict([("x", 1)]) }} {{ dict(d, q=1) | length }} {{ namespace(a=1).a }}
{% generation %}gen {{ n }}{% endgeneration %} after
{{ n | nosuchfilter }}
{{ n is nosuchtest }}
{% if e %}{{ n | nosuchfilter }}{% endif %}lazy
{% nosuchtag %}
{% endif %}
{% if t %}
{{ 1 +
{{ "open }}
{% for %}{% endfor %}
{{ 08 }}
{{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ 1_000 }} {{ 1.5e3 }} {{ 'a' 'b' }} {{ "\x41\u00e9\101\q" }} {{ "\
" }}|
{{ -l[0] }} {{ -3 | abs }} {{ +n }} {{ - n + 1 }} {{ not t or t }} {{ 1 if t else 2 + 5 }} {{ (1 if e else 2) + 5 }} {{ "a" ~ 1 + 2 }} {{ 1 + 2 ~ 3 * 2 }} {{ 10 - 2 - 3 }} {{ 2 * 3 % 4 }} {{ a.b if a is defined else "no a" }}
{{ l.index(1) }} {{ l.count(2) }} {{ (3, 4).index(4) }} {{ l | length == 3 }} {{ "a" if l and l[0] > 2 }} {{ {"a": {"b": 5}}.a.b }} {{ [1, 2, 3,] }} {{ {"a": 1,} }} {{ d.a[0] }} {{ l.0 }} {{ m.0.role }}
{% set x = namespace(found=false) %}{% for y in m %}{% if y.role == "assistant" %}{% set x.found = true %}{% endif %}{% endfor %}{{ x.found }} {{ loop is defined }}
{% for a in l %}{% for b in l %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %} {% print n, 2 %}
{{ loop.index }}
{{ "é" | length }}{{ "e\u0301" | length }} {{ "😀"[0] }} {{ "😀x"[1] }} {{ "日本語"[1:] }} {{ "日本語"[::-1] }}
{{ range(100001) | length }}
{{ true + true }} {{ true * 3 }} {{ -true }} {{ 5 // true }} {{ [1, 2][true] }} {{ 1.5 // 0.5 }} {{ -1.5 % 1 }} {{ 1e308 * 10 }} {{ -1e308 * 10 }}
{{ {"a": none}.a }} {{ {"a": none}.get("a", 1) }} {{ ("a", "b") | join("-") }} {{ "abc" | first }} {{ d | first }} {{ d | list }} {{ "" | first is defined }}
"""
GROUPS = [
    "a\n  {% if t %}\n  b\n  {% endif %}\n c\n", "  {% set x = 1 %}  \nx{{ x }}\n", "\n\n{% if t %}\n\nx\n{% endif %}\n\n", "a {% if t %} b {% endif %} c\n\n", "x\n    {%+ if t %}y{% endif +%}\nz", "l1\r\n  {% if t %}\r\nl2\r{% endif %}\rl3\r\n",
    "{# c #}\nx\n  {# c #}  \ny {# c #} z\n", "{% raw %}\n {{ x }}\n{% endraw %}\nend", "  {%- raw -%}  a  {%- endraw -%}  b", "a\n\t {{ n }}\n", "{% for x in l %}\n  {{ x }}\n{% endfor %}\n", "{%- for x in l -%}\n  {{ x }}\n{%- endfor -%}\nend", "{{ {'a': {'b': {}}} }}", "{{ '}}' }}{{ '%}' }}{% set q = '%}' %}{{ q }}", "{#- a -#}\n\n b", "a{{ n }} {% if t %}\n{% endif %}\n", "  {{ n }}  {% if t %} x{% endif %}", "{% if t %}{% set z = 1 %}{% else %}{% set z = 2 %}{% endif %}{{ z }}", "\u00a0{% if t %}x{% endif %}", "x\n\u00a0 {% if t %}y{% endif %}", "{{n}}{{-n-}}{{n}}", "{%if t%}x{%endif%}", "{{ n }}\n\n",
]
snippets = [x for x in S.replace('"\\\n"', '"\\CONT"').strip().split("\n")]
snippets = [x.replace("\\CONT", "\\\n") for x in snippets] + GROUPS
out = []
for t in snippets:
    try:
        text, spans = u.render_jinja_template([VARS["m"]], chat_template=t, **{k: v for k, v in VARS.items()})
        out.append({"template": t, "text": text[0]})
    except Exception as e:
        out.append({"template": t, "error": type(e).__name__ + ": " + str(e)})
print(json.dumps({"versions": {"transformers": transformers.__version__, "jinja2": jinja2.__version__}, "vars": VARS, "cases": out}, ensure_ascii=True, indent=0))
