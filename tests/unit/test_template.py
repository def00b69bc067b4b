"""Templates that users write: what they can say, what is escaped, and what each mistake is called."""

import subprocess
import sys

import pytest

from watchbell.mail.document import Rendered
from watchbell.mail.template import (
    Compiled,
    Flaw,
    Parameter,
    Source,
    TemplateProblem,
    check_names,
    compile_template,
    render,
)
from watchbell.mail.template_text import text_of_html

VALUES = {
    "incident": {
        "owner": "otel-gateway",
        "kind": "OOMKilled",
        "note": None,
        "affectedPods": 2,
        "resolved": False,
        "hostile": "<script>alert('x')</script>&\"",
        "pods": [{"name": "gateway-a", "node": "node-1"}, {"name": "<b>gateway-b</b>", "node": "node-1"}],
        "none": [],
    }
}


def outcome(text="", html="", subject="s", parameters=(), given=None):
    compiled = compile_template(Source(subject, text, html, parameters))
    return compiled if isinstance(compiled, TemplateProblem) else render(compiled, VALUES, given)


def written(text: str) -> str:
    rendered = outcome(text)
    assert isinstance(rendered, Rendered), rendered
    return rendered.text


def problem(**words) -> TemplateProblem:
    found = outcome(**words)
    assert isinstance(found, TemplateProblem), found
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ incident.owner }}: {{ incident.affectedPods }} pods", "otel-gateway: 2 pods"),
        ("{% if incident.resolved %}over{% else %}on{% endif %}", "on"),
        ("{% if incident.note %}{{ incident.note }}{% else %}nothing more{% endif %}", "nothing more"),
        ("[{{ incident.note }}]", "[]"),
        ("{{ incident.note | default: 'nothing' }}", "nothing"),
        ("{% unless incident.resolved %}on{% endunless %}", "on"),
        ("{% case incident.kind %}{% when 'OOMKilled' %}memory{% else %}other{% endcase %}", "memory"),
        ("{% for pod in incident.pods %}{{ forloop.index }}/{{ forloop.length }} {% endfor %}", "1/2 2/2 "),
        ("{% for pod in incident.pods limit: 1 %}{{ pod.name }}{% endfor %}", "gateway-a"),
        ("{% for pod in incident.none %}x{% else %}no pods{% endfor %}", "no pods"),
        ("{% for pod in incident.pods %}{% break %}{% endfor %}ends", "ends"),
        ("{{ incident.pods.first.name }} {{ incident.pods[-1].node }} {{ incident.pods.size }}", "gateway-a node-1 2"),
        ("{{ incident.pods | map: 'node' | uniq | join: ', ' }}", "node-1"),
        ("{% assign who = incident.owner | upcase %}{{ who }}", "OTEL-GATEWAY"),
        ("{% capture who %}{{ incident.owner }}!{% endcapture %}{{ who }}{{ who }}", "otel-gateway!otel-gateway!"),
        ("{% if incident.kind contains 'OOM' and incident.affectedPods > 1 %}several{% endif %}", "several"),
        ("{{ incident.affectedPods | plus: 3 | times: 2 | divided_by: 4 | modulo: 2 }}", "0"),
        ("{{ incident.owner | truncate: 5 }} {{ incident.owner | slice: -7, 4 }}", "otel… gate"),
        ("{{ incident.owner | replace: '-', ' ' | capitalize }}", "Otel gateway"),
        ("{{ incident.hostile }}", "<script>alert('x')</script>&\""),
        ("{{ incident.hostile | url_encode }}", "%3Cscript%3Ealert%28%27x%27%29%3C%2Fscript%3E%26%22"),
        ("a {%- if true -%} b {%- endif -%} c", "abc"),
        (
            "{% comment %}{{ never }} {% and %}{% endcomment %}{% # nor this %}{% raw %}{{ braces }}{% endraw %}",
            "{{ braces }}",
        ),
        ("  no tags at all { % } }", "  no tags at all { % } }"),
    ],
)
def test_a_template_says_what_is_written(source, expected):
    assert written(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ incident.hostile }}", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&#34;"),
        ("{{ incident.pods[1].name | append: '<br>' }}", "&lt;b&gt;gateway-b&lt;/b&gt;<br>"),
        ("{{ '<br>' | append: incident.pods[1].name }}", "<br>&lt;b&gt;gateway-b&lt;/b&gt;"),
        (
            "{% capture x %}<i>{{ incident.pods[1].name }}</i>{% endcapture %}{{ x }}",
            "<i>&lt;b&gt;gateway-b&lt;/b&gt;</i>",
        ),
        ("{{ incident.pods | map: 'name' | join: '<br>' }}", "gateway-a<br>&lt;b&gt;gateway-b&lt;/b&gt;"),
        ("{{ incident.pods[1].name | escape }}", "&lt;b&gt;gateway-b&lt;/b&gt;"),
        ("{{ incident.pods[1].name | replace: 'gateway', '<u>' }}", "&lt;b&gt;&lt;u&gt;-b&lt;/b&gt;"),
        ("{{ parameters.words | newline_to_br }}", "&lt;p&gt;<br>\nnext"),
        ("{{ parameters.words | slice: 0, 3 | upcase }}", "&lt;P&gt;"),
        ("{{ parameters.words | default: '<b>' }}", "&lt;p&gt;\nnext"),
    ],
)
def test_in_html_only_the_words_of_the_template_itself_are_markup(source, expected):
    rendered = outcome(html=source, parameters=(Parameter("words"),), given={"words": "<p>\nnext"})
    assert isinstance(rendered, Rendered), rendered
    assert rendered.html == expected


@pytest.mark.parametrize(
    ("words", "line", "message"),
    [
        ({"text": "a\n{{ incident.ownr }}"}, 2, "incident.ownr is not a known name; did you mean incident.owner?"),
        ({"text": "{{ incidnt.owner }}"}, 1, "incidnt is not a known name; did you mean incident?"),
        ({"text": "{% if incident.xyz %}{% endif %}"}, 1, "incident.xyz is not a known name; there are affectedPods, "),
        ({"text": "{% for pod in incident.pods %}\n{{ pod.nme }}{% endfor %}"}, 2, "pod.nme is not a known name; did you mean pod.name?"),
        ({"text": "{{ incident.owner | upcas }}"}, 1, "there is no filter 'upcas'; did you mean upcase?"),
        ({"text": "{{ incident.owner | append }}"}, 1, "filter append takes 1 arguments"),
        ({"text": "{{ incident.owner | plus: 1 }}"}, 1, "filter plus needs a whole number, not a text"),
        ({"text": "{{ 1 | divided_by: 0 }}"}, 1, "filter divided_by cannot divide by zero"),
        ({"text": "{{ incident }}"}, 1, "incident is a group of values; write one of its values, or loop over it"),
        ({"text": "{{ incident.pods }}"}, 1, "incident.pods is a list; write one of its values"),
        ({"text": "{{ incident.note.text }}"}, 1, "incident.note is empty here, so it has no 'text'; ask {% if incident.note %}"),
        ({"text": "\n\n{% iff incident %}"}, 3, "there is no tag 'iff'; did you mean if"),
        ({"text": "{% if incident.owner %}"}, 0, "{% if %} has no {% endif %}"),
        ({"text": "{% raw %}"}, 1, "{% raw %} has no {% endraw %}"),
        ({"text": "{% endif %}"}, 1, "unexpected tag 'endif'"),
        ({"text": "{{ incident.owner"}, 1, "is not closed by }}"),
        ({"text": "{{ 'open }}"}, 1, "a quote is not closed"),
        ({"text": "{{ }}"}, 1, "{{ }} is empty"),
        ({"text": "{% break %}"}, 1, "{% break %} stands outside of a loop"),
        ({"text": "{% for pod in incident.pods limit: -1 %}{% endfor %}"}, 1, "limit and offset must be 0 or more"),
        ({"text": "x\0y"}, 0, "contains the character U+0000"),
        ({"text": "t", "subject": "{{ incident.note }} "}, 0, "is empty"),
        ({"text": "t", "subject": "{% for pod in incident.pods %}" + "x" * 300 + "{% endfor %}"}, 0, "has 600 characters; at most 512"),
        ({"text": "t", "subject": "a\u202eb"}, 0, "contains the character U+202E"),
        ({"subject": "only this"}, 0, "text or html must be set"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_what_was_meant(words, line, message):
    found = problem(**words)
    assert message in found.message
    assert found.line == line
    assert found.field == ("subject" if "subject" in words and "text" in words else "text")


def test_a_name_is_looked_at_in_branches_that_no_sample_takes():
    compiled = compile_template(Source("s", "{% if 1 == 2 %}\n{{ incident.ownr }}{% endif %}"))
    assert isinstance(compiled, Compiled)
    assert isinstance(render(compiled, VALUES), Rendered)
    assert str(check_names(compiled, VALUES)) == (
        "text, line 2: incident.ownr is not a known name; did you mean incident.owner?"
    )


def test_names_that_the_template_makes_itself_are_known():
    source = "{% assign a = 1 %}{% capture b %}{% endcapture %}{% for c in incident.pods %}{{ a }}{{ b }}{{ c.name }}{{ forloop.last }}{% endfor %}"
    compiled = compile_template(Source("s", source))
    assert isinstance(compiled, Compiled)
    assert check_names(compiled, VALUES) is None


def test_a_subject_is_one_line():
    rendered = outcome("t", subject="{{ incident.owner }}\r\nBcc: evil@example.com\n\n x")
    assert isinstance(rendered, Rendered)
    assert rendered.subject == "otel-gateway Bcc: evil@example.com x"


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({}, "parameters.name", "must be given"),
        ({"name": "x" * 9}, "parameters.name", "has 9 characters; at most 8 are allowed"),
        ({"name": "x", "colr": "red"}, "parameters.colr", "the template has no such parameter; did you mean color?"),
    ],
)
def test_what_is_wrong_with_a_parameter_names_the_parameter(given, field, message):
    parameters = (Parameter("name", None, 8), Parameter("color", "blue"))
    found = problem(text="{{ parameters.name }} {{ parameters.color }}", parameters=parameters, given=given)
    assert (found.field, found.flaw) == (field, Flaw.PARAMETER)
    assert message in found.message


def test_a_parameter_that_is_not_given_has_its_default():
    parameters = (Parameter("name"), Parameter("color", "blue"))
    rendered = outcome("{{ parameters.name }} {{ parameters.color }}", parameters=parameters, given={"name": "sky"})
    assert isinstance(rendered, Rendered)
    assert rendered.text == "sky blue"


def test_of_a_template_with_only_html_the_text_part_says_the_same():
    html = (
        '<html><head><style>h1 { color: red }</style></head><body><h1>{{ incident.owner }}</h1><p>Two\n pods,\nsee <a href="https://example.com/x">'
        "the page</a>.<br>Bye</p><ul>{% for pod in incident.pods %}<li>{{ pod.name }}</li>{% endfor %}</ul>"
        "<table><tr><td>a<td>b</table></body></html>"
    )
    rendered = outcome(html=html)
    assert isinstance(rendered, Rendered)
    assert rendered.text == (
        "otel-gateway\n\nTwo pods, see the page (https://example.com/x).\nBye\n\n- gateway-a\n- <b>gateway-b</b>\n\na  b\n"
    )


@pytest.mark.parametrize(
    "html", ["<", "a < b", "<!-- never closed", "<style>never closed", "<a href='javascript:x'>y</a>"]
)
def test_odd_html_still_has_a_text(html):
    assert "javascript" not in text_of_html(html)
    assert text_of_html(html).endswith("\n")


def test_who_has_no_template_does_not_load_the_engine():
    code = "import sys, watchbell.templates.shelf; sys.exit('liquid' in sys.modules or 'babel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
