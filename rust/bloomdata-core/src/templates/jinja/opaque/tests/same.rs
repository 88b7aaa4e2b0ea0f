//! Each construct by itself, with any contents: the plan writes what the interpreter writes.

use super::random::{SAID, check, made};
use crate::json_fields::FieldPath;
use crate::key_log::KeyLog;
use crate::templates::chat::{Chat, ChatKeys};
use crate::templates::message::MessageKeys;

/// Templates that are opaque under some condition.
const PROVEN: &[&str] = &[
    "{{ c }}{{ c|trim }}{{ c.strip() }}{{ c.lstrip() ~ c.rstrip() }}",
    "{{ c.lstrip('\\n') }}",
    "{{ c|trim(' \\n') }}",
    "{{ c.rstrip().lstrip('\\n ') }}",
    "{{ (' ' ~ c ~ '\\n')|trim }}",
    "{{ ('' ~ c)|trim ~ (c ~ c).lstrip() }}",
    "{{ '<' + m['role'] + '>' + m['content'] ~ eos_token }}",
    "{{ m.get('content') }}{{ m.get('name', '') }}{{ m.name or '' }}",
    "{{ m[m.role] }}",
    "{% if c is string %}{{ c }}{% else %}{% for part in c %}{{ part.text|upper }}{% endfor %}{% endif %}",
    "{% if c is not string and c|length > 3 %}{{ c[0] }}{% endif %}",
    "{{ c is iterable }}{{ c is sequence }}{{ c is mapping }}{{ c is number }}{{ c is none }}{{ c is defined }}",
    "{{ c is undefined }}{{ c is boolean }}{{ c is integer }}{{ c is float }}{{ c is true }}{{ c is false }}",
    "{{ m is iterable }}{{ m is sequence }}{{ m is mapping }}{{ messages is iterable }}{{ messages is mapping }}",
    "{{ c if c is string else c|tojson }}",
    "{{ '</a>' in c }}",
    "{{ '<a>' not in c|trim }}",
    "{% if '</a>' in c %}{{ c.split('</a>')[0]|length }}{% else %}{{ c }}{% endif %}",
    "{{ c.split('</a>')[-1] }}",
    "{{ c.split('</a>', 1)|first }}",
    "{{ c.rsplit('</a>')[0] }}{{ c.split('</a>')|length }}",
    "{% for part in c.split('</a>') %}{{ part }}{% endfor %}",
    "{{ c.replace('<a>', '') }}",
    "{{ c|replace('<a>', 'b') }}",
    "{{ c.removeprefix('<a>') }}",
    "{{ c.removesuffix('</a>') }}",
    "{{ c.startswith('<a>') }}",
    "{{ c.strip().endswith('</a>') }}",
    "{% if c.startswith('<a>') and c.endswith('</a>') %}{{ c|upper }}{% endif %}",
    "{% if c %}{{ c }}{% else %}empty{% endif %}",
    "{% if c|trim %}{{ c }}{% else %}empty{% endif %}",
    "{% if c.strip() ~ '' %}{{ c }}{% else %}empty{% endif %}",
    "{% if not c %}{{ c|length }}{% endif %}",
    "{{ c == 'a' }}",
    "{{ c != 'same' }}{{ 'x' == c }}",
    "{{ c == '' }}",
    "{{ (c ~ c) != '' }}",
    "{{ c == none }}{{ c != 1 }}{{ c == false }}",
    "{% if c == 'a' or c == '' %}{{ c[1:] }}{% endif %}",
    "{{ c|length > 0 }}",
    "{{ c|trim|length == 0 }}",
    "{{ c or 'nothing' }}",
    "{{ c|trim or 'nothing' }}",
    "{{ (c and 'a') ~ 'b' }}",
    "{{ 'a' if c.strip() else 'b' }}",
    "{{ c|default('d', true) }}",
    "{{ c|trim|d('d', boolean=true) }}",
    "{{ c|default('d')|string|safe }}",
    "{% if m.role == 'tool' %}{{ c|tojson }}{% elif m.role not in ['user', 'system'] %}{{ m }}{% endif %}",
    "{% if m.tool_calls %}{{ c|upper }}{% endif %}{% if 'x' in m %}{{ c|upper }}{% endif %}{{ 'role' in m }}",
    "{% if tools %}{{ messages|tojson }}{% endif %}",
    "{{ m == messages[-1] }}",
    "{% if m != messages[0] %}{{ c }}{% endif %}",
    "{{ messages|length }}{{ (messages|first).content }}{{ (messages|last)['role'] }}",
    "{% for x in messages|selectattr('role', 'eq', 'user') %}{{ x.content }}{% endfor %}",
    "{{ messages|map(attribute='role')|join(',') }}{{ messages|rejectattr('name')|list|length }}",
    "{% for x in messages[1:]|reverse if x.role == 'user' %}{{ x.content }}{% break %}{% endfor %}",
    "{% for x in messages %}{% if loop.last %}{% continue %}{% endif %}{{ x.content }}{% else %}none{% endfor %}",
    "{% set ns = namespace(t='') %}{% for x in messages %}{% set ns.t = ns.t + x.content %}{% endfor %}{{ ns.t }}",
    "{% macro f(x, y='a') %}{{ x }}{{ y }}{% endmacro %}{{ f(c) }}{{ f(c, y=m.role)|trim }}",
    "{%- macro f(x) -%}{%- if x is string -%}{{- x -}}{%- endif -%}{%- endmacro -%}{{ '<a>' in f(c) }}",
    "{% set x %}{{ c }}a{% endset %}{{ x|trim }}{% filter trim %}{{ c }}{% endfilter %}",
    "{% set x | trim %} {{ c }}{% endset %}{{ x or 'b' }}",
    "{% set x %}{% for y in [1, 2] %}{% if y == 1 %}{% break %}{% endif %}{{ c }}{% endfor %}{% endset %}{{ x or 'b' }}",
    "{{ loop.previtem.content if loop.previtem is defined else '' }}{{ loop.nextitem.role if not loop.last }}",
    "{{ loop.changed(m.role) }}{{ loop.cycle('a', 'b') }}",
    "{{ raise_exception(c|upper ~ m) if m.role == 'user' and loop.first and false else c }}",
    "{{ [m][0].content }}{% set rest = [m] + messages[1:] %}{{ rest|length }}",
    "{% do namespace(a=c) %}{% with x = c %}{{ x }}{% endwith %}",
    "{% set d = messages[0].content %}{% if '</a>' in d %}{{ d.split('</a>')|length }}{% elif d == 'a' %}{{ d|upper }}{% endif %}",
    "{% if 'no' in c %}{% set c = 'x' %}{% endif %}{{ c }}",
];

#[test]
fn what_is_proven_is_so_whatever_is_said() {
    let pairs = (0..SAID.len()).flat_map(|first| (0..SAID.len()).map(move |second| vec![first, second]));
    let chats: Vec<Vec<usize>> = pairs.collect();
    // Equal messages, for templates that compare messages.
    let alike: Vec<Vec<usize>> = (0..SAID.len()).map(|text| vec![text, text]).collect();
    for source in PROVEN {
        let template = format!("{{% for m in messages %}}[{{% set c = m.content %}}{source}]{{% endfor %}}");
        let (used, _) = check(&template, &[0, 1], &chats);
        check(&template, &[0, 0], &alike);
        // Most contents contain none of the texts that are searched for.
        assert!(used * 6 > chats.len(), "{template}: {used} of {}", chats.len());
    }
}

#[test]
fn a_template_that_writes_what_marks_are_made_of_is_not_misread() {
    let chats: Vec<Vec<usize>> = (0..SAID.len()).map(|text| vec![text, 0]).collect();
    for fixed in [
        "\u{b}\u{b}\u{b}",
        "\u{b}",
        "\u{c}",
        "\u{c}\u{c}",
        "\u{fdd3}0\u{fdd4}",
        "\u{fdd3}",
        "\u{fdd5}0\u{fdd6}",
    ] {
        for said in ["m.content", "m.content|trim", "m.content.lstrip()", "m.content.rstrip()"] {
            let template = format!("{{% for m in messages %}}{fixed}{{{{ {said} }}}}{fixed}{{% endfor %}}");
            check(&template, &[0, 1], &chats);
            let template =
                format!("{{% for m in messages %}}{{{{ {said} }}}}{{{{ m.content }}}}{{% endfor %}}");
            check(&template, &[0, 1], &chats);
        }
    }
}

#[test]
fn tools_are_part_of_a_plan_at_the_second_time() {
    let source = "{% for tool in tools or [] %}{{ tool|tojson }}{% endfor %}{% for m in messages %}[{{ m.role }}]\n\
                  {{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}\n{% endfor %}\
                  {% if add_generation_prompt %}[assistant]\n{% endif %}";
    let template = made(source).unwrap();
    let keys = ChatKeys::new(FieldPath::of_key("messages"), MessageKeys::default());
    let record = |tool: usize, said: &str| {
        format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"{said}\"}}, {{\"content\": \" a{said}\", \"role\": \
             \"assistant\"}}], \"tools\": [{{\"name\": {tool}}}]}}"
        )
    };
    for tool in 0..3 {
        for time in 0..4 {
            let record = record(tool, ["a", "b", " ", ""][time]);
            let chat = Chat::parse(&record, &keys, &mut KeyLog::default()).unwrap();
            let filled = template.planner.filled(&chat);
            assert_eq!(filled.is_some(), time > 0, "{record}");
            if let Some(filled) = filled {
                assert_eq!(template.run(&chat), Ok(filled), "{record}");
            }
        }
    }
}

#[test]
fn texts_that_need_more_than_all_fuel_are_run() {
    // Each round doubles the text.
    let double = "{% set ns = namespace(t=messages[0].content) %}{% for x in range(12) %}\
                  {% set ns.t = ns.t + ns.t %}{% endfor %}{{ ns.t }}";
    let template = made(double).unwrap();
    let (short, long) = ("a".repeat(1_000), "a".repeat(1_000_000));
    for (text, is_filled) in [(&short, true), (&long, false)] {
        let chat = Chat::plain(vec![("user", text)], None, None).unwrap();
        template.planner.plan(&chat);
        assert_eq!(template.planner.filled(&chat).is_some(), is_filled);
    }
    let chat = Chat::plain(vec![("user", &long)], None, None).unwrap();
    assert!(template.render(&chat, false).is_err());
}
