"""Whatever anybody writes as a template ends as a mail or as a named problem: no exception, and no value of a pod as markup."""

from hypothesis import given, settings
from hypothesis import strategies as st

from watchbell.mail.document import Rendered
from watchbell.mail.template import Compiled, Source, TemplateProblem, check_names, compile_template, render
from watchbell.mail.template_filters import FILTERS
from watchbell.mail.template_syntax import TAGS

MARK = "<x-hostile>"
VALUES = {
    "incident": {
        "owner": MARK,
        "none": None,
        "count": 3,
        "flag": True,
        "pods": [{"name": MARK, "n": 1}, {"name": "b", "n": None}],
        "lines": [MARK, "b"],
        "empty": [],
    },
    "parameters": {},
}
PATHS = st.sampled_from(
    [
        *("incident.owner", "incident.none", "incident.count", "incident.flag", "incident.pods", "incident.lines", "incident"),
        *("incident.pods.first.name", "incident.pods[0]", "incident.pods[9].name", "incident['owner']", "incident[p]", "p", "p.name", "p.n"),
        *("a", "b", "forloop", "forloop.index", "forloop.parentloop.last", "incident.empty.first", "incident.owner.size", "-1", "0", "2.5"),
        *("'x'", '"<b>"', "''", "true", "nil", "blank", "99999999999999999999", "incident.lines.last", "now", "a.b.c", "incident.nothing"),
    ]
)  # fmt: skip
CALLS = st.builds(
    lambda name, arguments: f"{name}: {', '.join(arguments)}" if arguments else name,
    st.sampled_from([*FILTERS, "safe", "date", "split"]),
    st.lists(PATHS, max_size=3),
)
VALUES_WRITTEN = st.builds(lambda path, calls: " | ".join([path, *calls]), PATHS, st.lists(CALLS, max_size=3))
CONDITIONS = st.builds(
    lambda left, operator, right: f"{left} {operator} {right}",
    PATHS,
    st.sampled_from(["==", "!=", "<", ">", "<=", ">=", "<>", "contains", "and", "or", "=", "not"]),
    PATHS,
)
SOUND = st.one_of(
    st.builds("{{{{ {} }}}}".format, VALUES_WRITTEN),
    st.builds("{{{{- {} -}}}}".format, PATHS),
    st.builds("{{% assign {} = {} %}}".format, st.sampled_from(["a", "b", "p", "incident"]), PATHS),
    st.sampled_from(["text", " \n ", "{% # x %}", "{% raw %}{{ x }}{% endraw %}", "{% comment %}{{ x %}{% endcomment %}"]),
)  # fmt: skip
BROKEN = st.one_of(
    st.sampled_from(["{%", "{{", "}}", "%}", "'", "{% break %}", "{% continue %}", "{% else %}", "{% endif %}", "{% when 1 %}"]),
    st.builds("{{% {} %}}".format, st.sampled_from(TAGS)),
    st.text(max_size=8),
)  # fmt: skip


def blocks(inner):
    body = st.lists(inner, max_size=4).map("".join)
    loops = st.sampled_from(
        ["", " reversed", " limit: 1", " offset: continue", " limit: -1", " limit: incident.owner", " offset: 'x'"]
    )
    return st.one_of(
        st.builds("{{% if {} %}}{}{{% endif %}}".format, st.one_of(CONDITIONS, PATHS), body),
        st.builds("{{% if {} %}}{}{{% elsif {} %}}{}{{% else %}}{}{{% endif %}}".format, CONDITIONS, body, CONDITIONS, body, body),
        st.builds("{{% unless {} %}}{}{{% endunless %}}".format, CONDITIONS, body),
        st.builds("{{% for p in {}{} %}}{}{{% else %}}{}{{% endfor %}}".format, PATHS, loops, body, body),
        st.builds("{{% case {} %}}{{% when {}, {} %}}{}{{% else %}}{}{{% endcase %}}".format, PATHS, PATHS, PATHS, body, body),
        st.builds("{{% capture a %}}{}{{% endcapture %}}".format, body),
    )  # fmt: skip


TEMPLATES = st.one_of(
    st.lists(st.recursive(SOUND, blocks, max_leaves=6), max_size=4).map("".join),
    st.lists(st.recursive(st.one_of(SOUND, BROKEN), blocks, max_leaves=8), max_size=4).map("".join),
)


@settings(max_examples=300, deadline=None)
@given(TEMPLATES, st.sampled_from(["text", "html"]))
def test_any_template_is_a_mail_or_a_named_problem(source, part):
    compiled = compile_template(Source("s", **{part: source or "x"}))
    if isinstance(compiled, Compiled):
        check_names(compiled, VALUES)
        compiled = render(compiled, VALUES)
    if isinstance(compiled, Rendered):
        assert part == "text" or MARK not in compiled.html
        return
    assert isinstance(compiled, TemplateProblem)
    assert compiled.message
    assert compiled.field in {part, "subject"}


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("{}%-|:.'\"[]()=,# \nabifor01"), max_size=300))
def test_any_heap_of_characters_is_a_mail_or_a_named_problem(source):
    compiled = compile_template(Source("s", text=source or "x"))
    found = render(compiled, VALUES) if isinstance(compiled, Compiled) else compiled
    assert isinstance(found, (Rendered, TemplateProblem))
