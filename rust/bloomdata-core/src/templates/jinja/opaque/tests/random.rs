//! Random templates, supported or not: wherever a plan is used, it must write what the interpreter writes,
//! for any contents.

use proptest::prelude::*;

use crate::templates::chat::Chat;
use crate::templates::chat_template::{ChatTemplate, TemplateOptions};
use crate::templates::spans::TrainOn;
use crate::templates::tool_arguments::ToolArguments;

/// A sequence of choices; the first option once they are used up.
struct Choices<'run> {
    bytes: std::slice::Iter<'run, u8>,
    /// Whether macros and a loop are in scope.
    is_inside: bool,
}

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        self.bytes.next().map_or(0, |&byte| usize::from(byte) % count)
    }

    fn pick<'list>(&mut self, list: &[&'list str]) -> &'list str {
        list[self.below(list.len())]
    }

    /// Replaces `T` by a text, `C` by a condition and `S` by statements.
    fn fill(&mut self, pattern: &str, depth: usize) -> String {
        let mut filled = String::new();
        for letter in pattern.chars() {
            match letter {
                'T' => filled.push_str(&self.text(depth)),
                'C' => filled.push_str(&self.condition(depth)),
                'S' => filled.push_str(&self.statements(depth)),
                _ => filled.push(letter),
            }
        }
        filled
    }

    /// Those that are valid outside loops, and before macros are defined.
    fn without_loops<'list>(&self, all: &[&'list str]) -> Vec<&'list str> {
        let is_there =
            |one: &&str| self.is_inside || !["loop.", "f(", "g("].iter().any(|name| one.contains(name));
        all.iter().copied().filter(is_there).collect()
    }

    fn text(&mut self, depth: usize) -> String {
        let atoms = [
            "m.content",
            "m.content",
            "m['content']",
            "m.get('content')",
            "messages[0].content",
            "c",
            "c",
            "ns.t",
            "(messages|last).content",
            "(loop.previtem or m).content",
            "m.role",
            "'<a>'",
            "''",
            "x",
            "' \\n'",
            "m.name",
            "m[m.role]",
            "(m.name or c)",
        ];
        let patterns = [
            "(T|trim)",
            "T.strip()",
            "T.lstrip()",
            "T.rstrip()",
            "T.lstrip('\\n')",
            "T.strip(' ')",
            "(T + T)",
            "(T ~ T)",
            "(T ~ 'z')",
            "(' ' ~ T)",
            "(T if C else T)",
            "(T or 'o')",
            "(T|default('d', true))",
            "(T|default(T))",
            "T.split('</a>')[-1]",
            "T.split('<a>')[0]",
            "T.replace('<a>', 'q')",
            "(T|replace('b', ''))",
            "(T|string)",
            "f(T)",
            "(g(T, T)|trim)",
            "(T|safe)",
            "T.removeprefix('<a>')",
            "(T.split('<a>')|last)",
            // Refused, unless their operand is free of message text.
            "(T|upper)",
            "(T|tojson)",
            "T[0]",
            "(T|length)",
            "T.strip('1')",
            "(T * 2)",
            "T.split()[0]",
            "T[1:]",
        ];
        let (atoms, patterns) = (self.without_loops(&atoms), self.without_loops(&patterns));
        let allowed = patterns.len() - 8;
        // Refused patterns are chosen less often.
        match self.below(if depth > 3 { 4 } else { 9 }) {
            0..4 => self.pick(&atoms).to_owned(),
            4..8 => {
                let pattern = self.pick(&patterns[..allowed]);
                self.fill(pattern, depth + 1)
            }
            _ => {
                let pattern = self.pick(&patterns);
                self.fill(pattern, depth + 1)
            }
        }
    }

    fn condition(&mut self, depth: usize) -> String {
        let patterns = [
            "m.role == 'user'",
            "T",
            "not C",
            "(C and C)",
            "(C or C)",
            "'</a>' in T",
            "'<a>' not in T",
            "T.startswith('<a>')",
            "T.endswith('</a>')",
            "T == ''",
            "T != 'a'",
            "T is string",
            "T is none",
            "T is not defined",
            "T|length > 0",
            "loop.first",
            "loop.last",
            "m == messages[0]",
            "m.tool_calls",
            "'name' in m",
            "m.role in ['user', 'tool']",
            "ns.n",
            "T is mapping",
            "tools",
            "add_generation_prompt",
            "messages|length > 2",
            "T == none",
            "'1' in T",
            "T == T",
            "T|length > 3",
            "loop.changed(T)",
            "T in ['a', '']",
            "T is lower",
            "T == '0'",
        ];
        let patterns = self.without_loops(&patterns);
        let allowed = patterns.len() - if self.is_inside { 7 } else { 6 };
        let count = if self.below(12) == 0 { patterns.len() } else { allowed };
        match self.pick(&patterns[..count]) {
            _ if depth > 4 => "m.role == 'user'".to_owned(),
            pattern => self.fill(pattern, depth + 1),
        }
    }

    fn statements(&mut self, depth: usize) -> String {
        let patterns = [
            "{{ T }}",
            "{{ T }}",
            "<a>",
            "\n",
            "{{ T }}|",
            "{% if C %}S{% endif %}",
            "{% if C %}S{% else %}S{% endif %}",
            "{% if C %}S{% elif C %}S{% else %}S{% endif %}",
            "{% set c = T %}",
            "{% set x = T %}",
            "{% set ns.t = T %}",
            "{% set ns.n = C %}",
            "{% set x %}S{% endset %}",
            "{% filter trim %}S{% endfilter %}",
            "{% for m in messages %}S{% endfor %}",
            "{% for m in messages[::-1] if C %}S{% else %}S{% endfor %}",
            "{% for m in messages|selectattr('role', 'eq', 'user') %}S{% endfor %}",
            "{% with c = T %}S{% endwith %}",
            "{% if C %}{% break %}{% endif %}",
            "{% if C %}{% continue %}{% endif %}",
            "{% for part in T.split('<a>') %}{{ part }}{% endfor %}",
            "{% if C %}{{ raise_exception(T) }}{% endif %}",
            "{% filter upper %}S{% endfilter %}",
            "{{ m }}",
            "{% for x in T %}{{ x }}{% endfor %}",
        ];
        let mut all = String::new();
        for _ in 0..=self.below(3) {
            let count = if self.below(12) == 0 { patterns.len() } else { 22 };
            let pattern = if depth > 2 { self.pick(&patterns[..4]) } else { self.pick(&patterns[..count]) };
            let mut one = self.fill(pattern, depth + 1);
            if ["{% set x %}", "{% filter", "{% with"].iter().any(|start| one.starts_with(start)) {
                // Leaving a loop from within these is not supported.
                one = one.replace("{% break %}", "").replace("{% continue %}", "");
            }
            all.push_str(&one);
        }
        all
    }

    fn template(&mut self) -> String {
        let start = "{% set m = messages[0] %}{% set c = m.content %}{% set ns = namespace(t='', n=false) %}{% set x = T %}";
        let start = self.fill(start, 2);
        let macros = "{% macro f(c) %}{{ T }}{% endmacro %}{%- macro g(c, x='d') -%}{%- if C -%}{{- c -}}{%- else -%}S\
                      {%- endif -%}{%- endmacro -%}";
        let macros = self.fill(macros, 2).replace("{% break %}", "").replace("{% continue %}", "");
        self.is_inside = true;
        let rest = self.fill("{% for m in messages %}[{{ m.role }}]S{% endfor %}", 0);
        format!("{start}{macros}{rest}")
    }
}

/// Few answers: for most random templates the answers cannot be located.
const ROLES: [&str; 7] = ["user", "system", "tool", "user", "system", "tool", "assistant"];
pub(super) const SAID: [&str; 20] = [
    "a",
    "Hello",
    " b ",
    "x\ny",
    "",
    " ",
    "\n",
    "\na\n",
    "<a>",
    "</a>b",
    "1",
    "0",
    "{{ 1 }}",
    "\u{b}",
    "\u{b}\u{b}\u{b}",
    "é\u{2003}",
    "x</a>",
    "\u{c}0",
    "<",
    "same",
];

/// Compiles a template without any variables; `None` if it is invalid.
pub(super) fn made(source: &str) -> Option<ChatTemplate> {
    let options = TemplateOptions {
        template: format!("{source}\n"),
        template_variables: [].into(),
        template_date: None,
        train_on: TrainOn::All,
        tool_arguments: ToolArguments::default(),
    };
    ChatTemplate::new(&options, Vec::new()).ok()
}

/// How often a plan was used, and how often not.
pub(super) fn check(source: &str, roles: &[usize], chats: &[Vec<usize>]) -> (usize, usize) {
    let Some(template) = made(source) else { return (0, 0) };
    let (mut used, mut others) = (0, 0);
    for said in chats {
        let messages = roles.iter().zip(said).map(|(&role, &text)| (ROLES[role], SAID[text]));
        let chat = Chat::plain(messages.collect(), None, None).unwrap();
        template.planner.plan(&chat);
        let Some(text) = template.planner.filled_text(&chat) else {
            others += 1;
            continue;
        };
        used += 1;
        assert_eq!(
            template.planner.jinja.render(&chat.input().unwrap(), false),
            Ok(text),
            "{source}: {chat:?}"
        );
        if let Some(filled) = template.planner.filled(&chat) {
            assert_eq!(template.run(&chat), Ok(filled), "{source}: {chat:?}");
        }
    }
    (used, others)
}

#[test]
fn plans_write_what_the_interpreter_writes() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let totals = std::cell::Cell::new((0, 0));
    let chats = prop::collection::vec(prop::collection::vec(0..SAID.len(), 4), 6);
    let input =
        (prop::collection::vec(any::<u8>(), 0..200), prop::collection::vec(0..ROLES.len(), 1..5), chats);
    runner
        .run(&input, |(choices, roles, chats)| {
            let source = Choices { bytes: choices.iter(), is_inside: false }.template();
            let (used, others) = check(&source, &roles, &chats);
            totals.set((totals.get().0 + used, totals.get().1 + others));
            Ok(())
        })
        .unwrap();
    let (used, others) = totals.get();
    assert!(used * 5 > others, "{used} of {} conversations from plans", used + others);
}
