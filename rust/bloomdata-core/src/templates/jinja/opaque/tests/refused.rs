//! Constructs that depend on message contents are refused.

use super::prove;

fn refused(sources: &[&str]) {
    for source in sources {
        // Outside loops `loop` is undefined.
        assert!(source.contains("loop") || prove(source).is_err(), "proven: {source}");
        let in_loop = format!("{{% for m in messages %}}{{% set c = m.content %}}{source}{{% endfor %}}");
        assert!(prove(&in_loop).is_err(), "proven: {in_loop}");
    }
}

/// Defines the names of texts, for use outside loops.
fn with_names(expressions: &[&str]) -> Vec<String> {
    let names = "{% set m = messages[0] %}{% set c = m.content %}{% set ns = namespace(t=c) %}";
    expressions.iter().map(|expression| format!("{names}{expression}")).collect()
}

fn refused_with_names(expressions: &[&str]) {
    let sources = with_names(expressions);
    refused(&sources.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn looking_into_what_is_said_is_refused() {
    refused_with_names(&[
        "{{ c|length }}",
        "{{ c|count }}",
        "{{ c[0] }}",
        "{{ c[-1] }}",
        "{{ c[1:] }}",
        "{{ c[loop.index0] }}",
        "{{ c|first }}",
        "{{ c|last }}",
        "{{ c|upper }}",
        "{{ c|tojson }}",
        "{{ c|list }}",
        "{{ c|reverse }}",
        "{{ c|int }}",
        "{{ c|e }}",
        "{{ c|urlize if false else c|capitalize }}",
        "{{ c|replace('', 'a') }}",
        "{{ c|replace('1', 'a') }}",
        "{{ c|replace(m.role, 'a') }}",
        "{{ c|replace('ab', c) }}",
        "{{ c|indent }}",
        "{{ c|trim('1') }}",
        "{{ c|trim('\\x0b') }}",
        "{{ c.upper() }}",
        "{{ c.title() }}",
        "{{ c.strip('1') }}",
        "{{ c.strip('\\n1') }}",
        "{{ c.strip(m.role) }}",
        "{{ c.split() }}",
        "{{ c.split('') }}",
        "{{ c.split('1')[0] }}",
        "{{ c.splitlines()[0] }}",
        "{{ c.find('a') }}",
        "{{ c.count('a') }}",
        "{{ c.partition('ab')[0] }}",
        "{{ (c ~ 'a').split('ab')[0] }}",
        "{{ c.format(1) }}",
        "{{ 'a'.join(c) }}",
        "{{ '%s' % c }}",
        "{{ '%s'|format(c) }}",
        "{{ 'a{}'.format(c) }}",
        "{{ 'abc'.replace('b', c) }}",
        "{{ c * 2 }}",
        "{{ -c }}",
        "{% for letter in c %}x{% endfor %}",
        "{% set a, b = c %}",
        "{% for a, b in messages %}x{% endfor %}",
        "{{ 'a'[c] }}",
        "{{ {'a': 1}[c] }}",
        "{{ range(c) }}",
        "{{ range(c|length) }}",
    ]);
}

#[test]
fn asking_what_is_said_is_refused() {
    refused_with_names(&[
        "{{ c == m.role }}",
        "{{ c == messages[-1].content }}",
        "{{ c == '1' }}",
        "{{ c == ['a'] }}",
        "{{ c == {} }}",
        "{{ c < 'a' }}",
        "{{ 'a' < c < 'b' }}",
        "{{ '1' in c }}",
        "{{ '\\x0b' in c }}",
        "{{ '' in c }}",
        "{{ m.role in c }}",
        "{{ c in 'abc' }}",
        "{{ c in ['a', 'b'] }}",
        "{{ c in messages }}",
        "{{ 'ab' in c ~ 'b' }}",
        "{{ 'ab' in c.split('x') }}",
        "{{ (c ~ 'a') == 'ab' }}",
        "{{ c.startswith('1') }}",
        "{{ c.startswith('') }}",
        "{{ c.startswith(('a', 'b')) }}",
        "{{ c.startswith(m.role) }}",
        "{{ (c ~ 'a').endswith('ba') }}",
        "{{ c.isdigit() }}",
        "{{ c is eq('a') }}",
        "{{ c is in(['a']) }}",
        "{{ 'a' is in(c) }}",
        "{{ c is lower }}",
        "{{ c is sameas(c) }}",
        "{{ c is escaped }}",
        "{{ c|length > 1 }}",
        "{{ c|length == 1 }}",
        "{{ 0 < c|length }}",
        "{% if c|length %}x{% endif %}",
        "{% if c|int %}x{% endif %}",
        "{{ loop.changed(c) }}",
        "{{ loop.cycle(c, 'a') }}",
        "{{ m == {'role': 'user', 'content': ''} }}",
        "{{ m == ns }}",
        "{{ messages == [] }}",
        "{{ m in messages }}",
        "{{ [m.role, c] == 1 }}",
    ]);
}

#[test]
fn taking_messages_apart_is_refused() {
    refused_with_names(&[
        "{{ m }}",
        "{{ messages }}",
        "{{ m|tojson }}",
        "{{ m|string }}",
        "{{ m ~ 'a' }}",
        "{{ m.items() }}",
        "{{ m.values() }}",
        "{{ m.keys() }}",
        "{{ m|items }}",
        "{{ m|list }}",
        "{{ m|dictsort }}",
        "{{ m|first }}",
        "{{ dict(m) }}",
        "{{ dict(a=c) }}",
        "{{ dict(m, a=1).content }}",
        "{% for key in m %}{{ key }}{% endfor %}",
        "{% for key, value in m|items %}{{ value }}{% endfor %}",
        "{{ messages|map(attribute='content')|join }}",
        "{{ messages|map(attribute='content', default='')|list }}",
        "{{ messages|map('length') }}",
        "{{ messages|map('string')|join }}",
        "{{ messages|selectattr('content')|list|length }}",
        "{{ messages|selectattr('content', 'eq', 'a')|list|length }}",
        "{{ messages|selectattr('content.0')|list|length }}",
        "{{ messages|selectattr('role', 'eq', c)|list|length }}",
        "{{ messages|select('eq', m)|list|length }}",
        "{{ messages|sort(attribute='content') }}",
        "{{ messages|groupby('content') }}",
        "{{ messages|unique|list|length }}",
        "{{ messages|join }}",
        "{{ messages|tojson }}",
        "{{ messages|string }}",
        "{{ messages.append(m) }}",
        "{{ messages.pop() }}",
        "{{ messages.count(m) }}",
        "{{ messages|attr('x') }}",
        "{{ m|attr('content') }}",
        "{{ [c]|join }}",
        "{{ [c, 'a']|length }}",
        "{{ (c, 'a')|length }}",
        "{{ {'a': c}|length }}",
        "{{ {c: 'a'} }}",
        "{{ [m, 'a']|length }}",
        "{{ ns }}",
        "{{ ns|tojson }}",
        "{{ ns|items }}",
        "{{ dict(ns) }}",
        "{% for key in ns %}{{ ns[key] }}{% endfor %}",
        "{{ ns[m.role] }}",
        "{{ m.get('a', c)|length }}",
        "{{ m.get(c) }}",
        "{{ m[c] }}",
        "{{ m[m.role]|length }}",
        "{% set a = namespace %}{% set n = a(x=1) %}{% set n.x = c %}{{ n.x|length }}",
        "{% set n = [namespace][0](x=1) %}{% set n.x = c %}{{ n.x|length }}",
        "{% set n = ns %}{% set n.other = c %}{{ ns.other|length }}",
        "{% set l = loop %}{{ l.previtem.content|length }}",
    ]);
}

#[test]
fn what_leaks_through_names_and_blocks_is_refused() {
    refused_with_names(&[
        "{{ ns.t|length }}",
        "{% set ns.u = c %}{{ ns.u|length }}",
        "{% macro f(x) %}{{ x|length }}{% endmacro %}{{ f(c) }}",
        "{% macro f(x, y=c) %}{{ y|length }}{% endmacro %}{{ f(1) }}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(c)|length }}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(x=c)|length }}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{{ f(*[c])|length }}",
        "{% macro f(x) %}{{ x }}{% endmacro %}{% set g = f %}{{ g(c)|length }}",
        "{% macro f() %}{{ c|length }}{% endmacro %}{{ f() }}",
        "{% macro f(x) %}{% set ns.u = x %}{% endmacro %}{{ f(c) }}{{ ns.u|length }}",
        "{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{{ c }}{% endcall %}",
        "{% macro f(x) %}{{ f(x[1:]) if x else '' }}{% endmacro %}{{ f(c) }}",
        "{% macro f() %}{% macro g() %}{{ c }}{% endmacro %}{{ g()|length }}{% endmacro %}{{ f() }}",
        "{% macro f() %}1{% endmacro %}{% set f = c %}{{ f|length }}",
        "{% filter upper %}{{ c }}{% endfilter %}",
        "{% filter trim|length %}{{ c }}{% endfilter %}",
        "{% set x %}{{ c }}{% endset %}{% if x|length > 3 %}a{% endif %}",
        "{% set x %}a{{ c }}{% endset %}{% if 'ab' in x %}a{% endif %}",
        "{% set x | length %}{{ c }}{% endset %}",
        "{% with x = c %}{{ x|length }}{% endwith %}",
        "{% for x in [1, 2] %}{{ c|length if loop.last }}{% endfor %}",
        "{% for x in messages recursive %}{{ loop(messages[1:]) }}{% endfor %}",
        "{% for x in messages if x.content|length %}a{% endfor %}",
        "{% for x in messages %}{{ loop.previtem.content|length }}{% endfor %}",
        "{% for x in messages %}{{ loop.nextitem }}{% endfor %}",
        "{% for x in messages %}{% macro f() %}{{ loop.previtem }}{% endmacro %}{% endfor %}",
        "{% for x in messages %}{% set y %}{{ c }}{% break %}{% endset %}{% endfor %}",
        "{% for messages in messages %}{{ messages }}{% endfor %}",
        "{% set messages = c %}{{ messages|length }}",
        "{% autoescape true %}{{ c }}{% endautoescape %}",
        "{% do c.upper() %}",
        // Facts of a branch do not hold for other values of the name.
        "{% if c is not string %}{% set c = m.content %}{{ c|length }}{% endif %}{{ c|length }}",
        "{% if 'ab' in c %}x{% else %}{{ c.split('b') }}{% endif %}{{ c|length }}",
        "{% if m.content is not string %}{% set m = messages[1] %}{{ m.content|length }}{% endif %}",
        "{% if 'ab' in m.content %}{% set m = messages[1] %}{{ m.content|length }}{% endif %}",
        "{% if c is not string %}{% for x in [1, 2] %}{{ c|length }}{% set c = m.content %}{% endfor %}{% endif %}",
        "{% for q in messages %}{% set z = c %}{% endfor %}{% if m.role == 'user' %}{% set z = 'x' %}{% endif %}{{ z|length }}",
        "{% for q in messages %}{% set z = c %}{% endfor %}{% if m.role == 'user' %}a{% else %}{% set z = 'x' %}{% endif %}{{ z|length }}",
        "{% set x %}{% for y in messages %}{{ y.content }}{% endfor %}{% endset %}{{ 'ab' in x }}",
        "{% set x %}{% for y in [1, 2] %}{{ c }}{% endfor %}{% endset %}{{ x == 'ab' }}",
        "{% if not ns.t %}{% set ns.t = c %}{{ ns.t|length }}{% endif %}",
    ]);
}

#[test]
fn roles_that_there_are_tell_branches() {
    let source = "{% for m in messages %}{% if m.role == 'tool' %}{{ m|tojson }}{% endif %}{{ m.content }}{% endfor %}";
    assert!(prove(source).is_ok());
    assert!(prove(&source.replace("'tool'", "'user'")).is_err());
    assert!(prove(&source.replace("== 'tool'", "in ['tool', 'function']")).is_ok());
    assert!(prove(&source.replace("== 'tool'", "in ['tool', 'user']")).is_err());
    assert!(prove(&source.replace("m.role == 'tool'", "m.name == 'tool'")).is_ok());
}

#[test]
fn long_and_deep_templates_are_given_up_or_read() {
    let deep = format!("{{{{ {}messages[0].content is string }}}}", "not ".repeat(2_000));
    assert!(prove(&deep).is_ok());
    let names = (0..6_000).map(|name| format!("{{% set a{name} = 1 %}}{{% if b %}}c{{% endif %}}"));
    let long: String = names.collect();
    assert!(prove(&long).is_err());
}
