"""What templates say of values: each expression gives what Jinja2 gives, or both refuse it."""

from __future__ import annotations

import pytest

import bloomdata
from bloomdata.errors import ConfigError
from reference import chat_template as reference

VALUES = {
    "s": " Ab c-d  é\n",
    "t": "a,b,,c",
    "e": "",
    "z": "\u3000x\x1c\u2028",
    "h": "<b> & \"q\" 'r'",
    "i": 7,
    "n": -3,
    "f": 2.5,
    "w": 3.0,
    "k": 1e22,
    "m": 1.5e-7,
    "b": True,
    "no": False,
    "o": None,
    "l": [3, 1, 2, 3],
    "x": [],
    "y": ["b", "a", "B"],
    "q": [1, 1.5, None, True, "é'", {"k": [1]}],
    "d": {"b": 1, "a": "x", "C": None, "n": {"k": [1, 2.0, 'é"<']}},
    "u": [{"r": "a", "v": 1}, {"r": "b", "v": 2}, {"r": "a", "v": 3}, {"r": "b", "v": None}],
    "p": {},
}

OUTPUT = ["s", "i", "n", "f", "w", "k", "m", "b", "no", "o", "l", "x", "y", "q", "d", "u", "p", "missing"]
OUTPUT += [
    "[1, 'a', none]",
    "(1, 2)",
    "(1,)",
    "()",
    "{'a': 1.0}",
    "[h]",
    "[s]",
    "{'k': h}",
    "['\\\\', '\\n\\t']",
    "[z]",
]
OUTPUT += ["1e3", "1.0", "1_000", "0x1F", "'a' 'b'", "'\\u00e9\\x41'", '"it\'s"', "true", "True", "none", "None"]

ARITHMETIC = [
    "i // 2",
    "n // 2",
    "i % 3",
    "n % 3",
    "n // 2.0",
    "i / 7",
    "i / 2",
    "i ** 2",
    "2 ** -1",
    "i * 1.0",
    "i + 0.5",
]
ARITHMETIC += ["-i", "+i", "- 3 // 2", "f // 1", "f % 1", "i // 0", "i / 0", "i % 0", "2 ** 100", "i - true"]
ARITHMETIC += [
    "s ~ i",
    "i ~ f ~ b ~ o",
    "'a' ~ missing",
    "s + t",
    "s + i",
    "'a' * 3",
    "3 * 'a'",
    "[1] + [2]",
    "[1, 2] * 2",
]
ARITHMETIC += [
    "(1,) + (2,)",
    "l + x",
    "d + d",
    "o + 1",
    "missing + 1",
    "b + 1",
    "1 + 2 * 3 ** 2",
    "10 - 2 - 3",
    "2 ** 3 ** 2",
]

COMPARISONS = [
    "i == 7.0",
    "i != 7",
    "1 < 2 < 3",
    "3 > 2 > 2",
    "'a' < 'b'",
    "'a' < 1",
    "o < 1",
    "[1, 2] < [1, 3]",
    "1 == true",
]
COMPARISONS += [
    "o == none",
    "x == []",
    "d == d",
    "missing == none",
    "not missing",
    "missing is none",
    "'1' == 1",
    "1 in l",
]
COMPARISONS += [
    "'b' in t",
    "'' in t",
    "'b' in d",
    "'z' not in d",
    "1 in d",
    "none in q",
    "1 in o",
    "'a' in missing",
    "1 in 's'",
]
COMPARISONS += [
    "x and 1",
    "x or 1",
    "i and s",
    "e or o",
    "o or e or 'z'",
    "not i",
    "not x",
    "i if b",
    "i if no",
    "i if no else n",
]
COMPARISONS += [
    "(i if no) is defined",
    "1.0 == 1",
    "[1.0] == [1]",
    "l is eq l",
    "'a' == \"a\"",
    "2 >= 2.0",
    "b == 1",
    "true < 2",
]

SLICES = [
    "l[0]",
    "l[-1]",
    "l[9]",
    "l[1:]",
    "l[:-1]",
    "l[::-1]",
    "l[::2]",
    "l[-2:]",
    "l[5:]",
    "l[3:1]",
    "l[-1:0:-1]",
    "s[0]",
]
SLICES += [
    "s[-2]",
    "s[1:3]",
    "s[::-1]",
    "s[-3:]",
    "s[:99]",
    "s[99]",
    "e[0]",
    "e[1:]",
    "d['b']",
    "d.b",
    "d['zz']",
    "d.zz",
    "d.n.k[1]",
]
SLICES += [
    "d.zz.y",
    "missing.y",
    "o.y",
    "i.y",
    "l.y",
    "s.y",
    "(1, 2, 3)[1:]",
    "d[0]",
    "q[5].k[0]",
    "q['k']",
    "l['0']",
    "x[0]",
    "l[f]",
]
SLICES += [
    "d.items",
    "d.get",
    "l[1:2] + l[:1]",
    "t[2:] ~ t[:2]",
    "l[true]",
    "o[0]",
    "o[1:]",
    "x[::0]",
    "p.a.b",
    "'abc'[1]",
    "l[-9]",
]

METHODS = [
    "s.strip()",
    "s.lstrip()",
    "s.rstrip()",
    "z.strip()",
    "z.rstrip()",
    "z.lstrip()",
    "s.strip(' A')",
    "s.strip('')",
]
METHODS += [
    "s.strip(none)",
    "t.split(',')",
    "t.split(',', 1)",
    "t.rsplit(',', 1)",
    "t.rsplit(',')",
    "s.split()",
    "z.split()",
]
METHODS += [
    "s.split(none, 1)",
    "s.rsplit(none, 1)",
    "t.split(',')[-1]",
    "t.split('x')",
    "e.split(',')",
    "e.split()",
    "t.split('')",
]
METHODS += [
    "t.split(',', -1)",
    "t.split(',', maxsplit=1)",
    "t.split(sep=',')",
    "t.rsplit(',', maxsplit=1)",
    "t.split(',', 0)",
]
METHODS += [
    "s.title()",
    "\"it's they're x1y\".title()",
    "s.upper()",
    "s.lower()",
    "s.capitalize()",
    "'ß'.upper()",
    "'ǆ'.title()",
]
METHODS += [
    "'ΑΣ'.lower()",
    "'İ'.lower()",
    "'éCOLE'.capitalize()",
    "s.swapcase()",
    "s.casefold()",
    "t.replace(',', ';')",
]
METHODS += [
    "t.replace(',', ';', 1)",
    "t.replace('', '-')",
    "t.replace('a', '')",
    "t.startswith('a')",
    "t.startswith(('x', 'a'))",
]
METHODS += [
    "t.startswith('b', 2)",
    "t.endswith('c')",
    "t.endswith(('b', 'c'))",
    "t.find('b')",
    "t.find('zz')",
    "t.rfind(',')",
]
METHODS += [
    "t.index('b')",
    "t.index('zz')",
    "t.count(',')",
    "t.count('')",
    "', '.join(y)",
    "''.join(l)",
    "','.join(['a', 1])",
    "','.join(t)",
]
METHODS += [
    "','.join(d)",
    "','.join(x)",
    "t.join(y)",
    "'a\\nb\\r\\nc\\x0bd\\u2028e\\n'.splitlines()",
    "'a\\nb\\n'.splitlines(true)",
]
METHODS += [
    "t.removeprefix('a,')",
    "t.removesuffix('c')",
    "t.removeprefix('zz')",
    "t.partition(',')",
    "t.rpartition(',')",
]
METHODS += [
    "t.partition('zz')",
    "t.rpartition('zz')",
    "t.isdigit()",
    "'12'.isdigit()",
    "'½'.isdigit()",
    "'½'.isnumeric()",
    "'٣'.isdigit()",
]
METHODS += [
    "'²'.isdigit()",
    "'²'.isdecimal()",
    "'ab'.isalpha()",
    "'a1'.isalnum()",
    "z.isspace()",
    "'\\x1f'.isspace()",
    "e.isspace()",
]
METHODS += [
    "'AB'.isupper()",
    "'Ab'.islower()",
    "'a1'.islower()",
    "'Ab Cd'.istitle()",
    "'é'.isascii()",
    "'ab'.ljust(5)",
    "'ab'.rjust(5, '-')",
]
METHODS += [
    "'ab'.center(7)",
    "'7'.zfill(3)",
    "'a\\tb'.expandtabs()",
    "'{} {}'.format(1, 'b')",
    "'{0}{1}{0}'.format('a', 2)",
    "'{a}'.format(a=1)",
]
METHODS += [
    "'{:>5}|{:<4}|{:^5}'.format('a', 'b', 'c')",
    "'{:.2f}'.format(f)",
    "'{:05d}'.format(i)",
    "'{!r}'.format(t)",
    "'{{}}'.format()",
]
METHODS += [
    "'%s %d' % ('a', 2)",
    "'%s' % t",
    "'%05.1f' % f",
    "'%x' % 255",
    "'%s' % l",
    "'%(a)s' % {'a': 1}",
    "'%%' % ()",
    "'%s' % (1, 2)",
]
METHODS += [
    "'%r' % 'a'",
    "t.encode('utf-8')",
    "'é'.encode()",
    "t.__class__",
    "t.nothing()",
    "d.items()",
    "d.keys()",
    "d.values()",
]
METHODS += [
    "d.items() | list",
    "d.keys() | list",
    "d.values() | list",
    "d.get('b')",
    "d.get('zz')",
    "d.get('zz', 1)",
    "d.get('C', 2)",
]
METHODS += [
    "d.pop('b')",
    "d.update({'a': 1})",
    "d.copy()",
    "l.append(1)",
    "l.count(3)",
    "l.index(1)",
    "l.index(9)",
    "l.copy()",
    "l.pop()",
]
METHODS += [
    "i.bit_length()",
    "f.is_integer()",
    "'a'.maketrans('a', 'b')",
    "d.get()",
    "s.upper(1)",
    "'a-b_c d'.title()",
    "'1a'.title()",
]

FILTERS = [
    "d | tojson",
    "q | tojson",
    "h | tojson",
    "d | tojson(indent=2)",
    "d | tojson(2)",
    "d | tojson(indent=0)",
    "x | tojson(indent=2)",
]
FILTERS += [
    "d | tojson(true)",
    "d | tojson(ensure_ascii=true)",
    "d | tojson(sort_keys=true)",
    "d | tojson(separators=(',', ':'))",
]
FILTERS += [
    "d | tojson(indent='\\t')",
    "d | tojson(indent=none)",
    "z | tojson",
    "'\\x7f\\x00\\ud83d'[:2] | tojson",
    "p | tojson(indent=4)",
]
FILTERS += [
    "k | tojson",
    "m | tojson",
    "w | tojson",
    "(1, 2) | tojson",
    "{1: 2, true: 3, none: 4, 1.5: 5} | tojson",
    "missing | tojson",
]
FILTERS += [
    "d.items() | tojson",
    "d.items() | list | tojson",
    "d.keys() | tojson",
    "range(3) | tojson",
    "'😀' | tojson(ensure_ascii=true)",
]
FILTERS += [
    "q | tojson(separators=(', ', ': '), ensure_ascii=false)",
    "[[], {}, [[]]] | tojson(indent=1)",
    "s | trim",
    "z | trim",
    "s | trim('A ')",
]
FILTERS += [
    "i | trim",
    "o | trim",
    "missing | trim",
    "s | upper",
    "s | lower",
    "i | upper",
    "s | title",
    '"it\'s x-y (ab) [c] z_y" | title',
]
FILTERS += [
    "s | capitalize",
    "h | escape",
    "h | e",
    "h | safe",
    "h | safe ~ 'x'",
    "h | forceescape",
    "s | length",
    "l | length",
    "d | length",
]
FILTERS += [
    "o | length",
    "i | length",
    "missing | length",
    "s | count",
    "l | first",
    "l | last",
    "x | first",
    "x | last",
    "s | first",
    "s | last",
]
FILTERS += [
    "d | first",
    "missing | first",
    "l | list",
    "s | list",
    "d | list",
    "o | list",
    "missing | list",
    "l | string",
    "f | string",
    "k | string",
]
FILTERS += [
    "'3' | int",
    "'x' | int",
    "'x' | int(5)",
    "f | int",
    "'2.7' | int",
    "o | int",
    "b | int",
    "'0x1A' | int(0, 16)",
    "' 4 ' | int",
    "n | int",
]
FILTERS += [
    "'3.5' | float",
    "'x' | float",
    "i | float",
    "o | float",
    "'1e3' | float",
    "'nan' | float",
    "f | round",
    "2.675 | round(2)",
    "i | round",
]
FILTERS += [
    "1234.5 | round(-2)",
    "f | round(0, 'floor')",
    "f | round(0, 'ceil')",
    "3.14159 | round(3)",
    "0.5 | round",
    "1.5 | round",
    "n | abs",
]
FILTERS += [
    "l | sort",
    "y | sort",
    "y | sort(case_sensitive=true)",
    "l | sort(reverse=true)",
    "u | sort(attribute='r') | tojson",
    "q | sort",
]
FILTERS += [
    "u | sort(attribute='r,v') | tojson",
    "l | unique",
    "l | unique | list",
    "y | unique | list",
    "y | unique(true) | list",
]
FILTERS += [
    "u | unique(attribute='r') | list | tojson",
    "l | reverse",
    "l | reverse | list",
    "s | reverse",
    "l | sum",
    "u[:3] | sum(attribute='v')",
]
FILTERS += [
    "l | sum(start=10)",
    "x | sum",
    "l | min",
    "l | max",
    "x | max",
    "y | min",
    "u[:3] | max(attribute='v')",
    "l | join(', ')",
    "l | join",
]
FILTERS += [
    "u | join(',', attribute='r')",
    "s | join('-')",
    "x | join(',')",
    "q | join(' ')",
    "d | join(',')",
    "o | join(',')",
    "u | map(attribute='r')",
]
FILTERS += [
    "u | map(attribute='r') | list",
    "u | map(attribute='zz') | list",
    "u | map(attribute='zz', default=0) | list",
    "y | map('upper') | list",
]
FILTERS += [
    "y | map('replace', 'a', 'z') | join",
    "l | map('string') | join('+')",
    "[l, x] | map('length') | list",
    "u | map(attribute='r') | join(',')",
]
FILTERS += [
    "u | selectattr('v') | list | tojson",
    "u | selectattr('r', 'equalto', 'a') | list | tojson",
    "u | selectattr('r', '==', 'a') | map(attribute='v') | list",
]
FILTERS += [
    "u | rejectattr('r', 'eq', 'a') | list | length",
    "u | selectattr('v', 'gt', 1) | list",
    "u | selectattr('zz', 'defined') | list",
]
FILTERS += [
    "u | selectattr('r', 'in', ['a']) | list | length",
    "u | rejectattr('v') | list",
    "u | selectattr('v', 'none') | list",
    "l | select('odd') | list",
]
FILTERS += [
    "l | reject('odd') | list",
    "q | select | list",
    "q | select('string') | list",
    "q | select('mapping') | list",
    "l | select('>', 2) | list",
]
FILTERS += [
    "(u | selectattr('r', 'equalto', 'b') | first).v",
    "u | groupby('r') | tojson",
    "u | groupby('r') | length",
    "u | groupby('zz') | list | length",
]
FILTERS += [
    "(u | groupby('r'))[0].grouper",
    "(u | groupby('r'))[0][1] | tojson",
    "(u | groupby('r') | first).list | length",
    "missing | default('x')",
]
FILTERS += [
    "o | default('x')",
    "o | default('x', true)",
    "e | default('x', true)",
    "e | default('x', boolean=true)",
    "missing | d(1)",
    "d.zz | default(2)",
]
FILTERS += [
    "d.zz.y | default(2)",
    "d | dictsort",
    "d | dictsort(reverse=true)",
    "d | dictsort(by='value')",
    "{'b': 2, 'a': 1} | dictsort(by='value')",
]
FILTERS += [
    "{'b': 1, 'A': 2, 'a': 3} | dictsort",
    "{'b': 1, 'A': 2} | dictsort(true)",
    "d | items",
    "d | items | list",
    "missing | items | list",
    "l | items",
]
FILTERS += [
    "l | batch(3) | list",
    "l | batch(3, 0) | list",
    "l | slice(3) | list",
    "l | slice(3, 'x') | list",
    "s | replace('A', 'z')",
    "t | replace(',', '', 2)",
]
FILTERS += [
    "i | replace('7', '8')",
    "t | split(',')",
    "t | lines",
    "'a\\nb\\n\\nc' | indent",
    "'a\\nb\\n\\nc' | indent(2, true)",
    "'a\\n\\nb' | indent(2, blank=true)",
]
FILTERS += [
    "'a\\nb' | indent('> ')",
    "'a\\nb' | indent(width=3, first=true)",
    "s | center(20)",
    "s | wordcount",
    "'a b c d' | wordwrap(3)",
    "'abcdef' | truncate(3)",
]
FILTERS += [
    "'abc def ghi jkl' | truncate(9)",
    "'abc def ghi jkl' | truncate(9, true, '')",
    "'a b/ü&' | urlencode",
    "h | striptags",
    "'<b>a</b>  c' | striptags",
]
FILTERS += [
    "'%s-%s' | format(1, 'b')",
    "'%(a)s' | format(a=1)",
    "'%d' | format(f)",
    "d | attr('b')",
    "d | pprint",
    "l | pprint",
    "h | xmlattr",
    "1000 | filesizeformat",
]
FILTERS += [
    "{'a': 1, 'b': none} | xmlattr",
    "l | random",
    "l | zz",
    "s | length > 3",
    "not s | length",
    "-1 | abs",
    "'a' | upper ~ 'b' | upper",
    "2 | string * 2",
]
FILTERS += [
    "u | map(attribute='r') | unique | list",
    "l | map('int') | sum",
    "u | map('items') | map('list') | list",
    "[[1, 2], [3]] | sum(start=[])",
]
FILTERS += [
    "[['a', 1]] | map(attribute=0) | list",
    "[['a', 1]] | map(attribute='1') | list",
    "[d] | map(attribute='n.k') | list",
    "l | tojson | length",
]

TESTS = [
    "sequence",
    "mapping",
    "iterable",
    "string",
    "defined",
    "undefined",
    "none",
    "number",
    "boolean",
    "true",
    "false",
    "integer",
]
TESTS += ["float", "callable", "lower", "upper", "odd", "even", "escaped", "zz"]
TESTS = [
    f"{name} is {test}"
    for test in TESTS
    for name in ("s", "i", "w", "b", "no", "o", "l", "d", "missing", "e", "range", "(1, 2)", "d.items()")
]
TESTS += [
    "i is divisibleby 7",
    "i is divisibleby(2)",
    "i is in [7]",
    "i is not in [7]",
    "i is eq 7",
    "i is ne(7)",
    "i is gt 3",
    "i is lt 3",
    "i is ge 7",
]
TESTS += [
    "b is sameas true",
    "1 is sameas true",
    "o is sameas none",
    "s is not none",
    "s is not string",
    "not s is string",
    "s is string and i is number",
]
TESTS += [
    "'trim' is filter",
    "'odd' is test",
    "d.b is defined and d.b is not none",
    "i is greaterthan 3",
    "i is == 7",
    "missing.a is defined",
]

FUNCTIONS = [
    "range(3) | list",
    "range(1, 7, 2) | list",
    "range(3, 0, -1) | list",
    "range(0)",
    "range(3)",
    "range(3)[1]",
    "range(3) | length",
    "dict(a=1, b=2)",
]
FUNCTIONS += [
    "dict(d, z=1)",
    "dict([('a', 1)])",
    "dict()",
    "namespace(a=1).a",
    "namespace()",
    "strftime_now('%Y-%m-%d')",
    "strftime_now('%d %b %Y')",
]
FUNCTIONS += [
    "strftime_now('%A %-d %B, %H:%M:%S %j %y %p %I')",
    "strftime_now('%Q')",
    "strftime_now('%%')",
    "strftime_now('%s')",
    "strftime_now('%c|%x|%X|%e')",
]
FUNCTIONS += [
    "raise_exception('x')",
    "raise_exception()",
    "zz()",
    "lipsum",
    "cycler('a', 'b').next()",
    "range('a')",
    "range(10 ** 9)",
    "joiner(',')() ~ 'x'",
]

EXPRESSIONS = OUTPUT + ARITHMETIC + COMPARISONS + SLICES + METHODS + FILTERS + TESTS + FUNCTIONS
# Refused here: what no chat template is known to use.
REFUSED = {
    "+i",
    "s.swapcase()",
    "s.casefold()",
    "t.startswith('b', 2)",
    "t.index('b')",
    "'²'.isdecimal()",
    "'Ab Cd'.istitle()",
    "'ab'.ljust(5)",
    "'ab'.rjust(5, '-')",
    "'ab'.center(7)",
    "'7'.zfill(3)",
    "'a\\tb'.expandtabs()",
    "'{!r}'.format(t)",
    "'%s %d' % ('a', 2)",
    "'%s' % t",
    "'%05.1f' % f",
    "'%x' % 255",
    "'%s' % l",
    "'%(a)s' % {'a': 1}",
    "'%%' % ()",
    "'%r' % 'a'",
    "t.encode('utf-8')",
    "'é'.encode()",
    "d.copy()",
    "l.index(1)",
    "l.copy()",
    "i.bit_length()",
    "f.is_integer()",
    "'a'.maketrans('a', 'b')",
    "'\\x7f\\x00\\ud83d'[:2] | tojson",
    "h | forceescape",
    "y | unique(true) | list",
    "{'b': 1, 'A': 2} | dictsort(true)",
    "l | items",
    "s | center(20)",
    "s | wordcount",
    "'a b c d' | wordwrap(3)",
    "'abcdef' | truncate(3)",
    "'abc def ghi jkl' | truncate(9)",
    "'abc def ghi jkl' | truncate(9, true, '')",
    "'a b/ü&' | urlencode",
    "h | striptags",
    "'<b>a</b>  c' | striptags",
    "'%d' | format(f)",
    "d | pprint",
    "l | pprint",
    "1000 | filesizeformat",
    "{'a': 1, 'b': none} | xmlattr",
    "l | random",
    "s is callable",
    "i is callable",
    "w is callable",
    "b is callable",
    "no is callable",
    "o is callable",
    "l is callable",
    "d is callable",
    "missing is callable",
    "e is callable",
    "range is callable",
    "(1, 2) is callable",
    "d.items() is callable",
    "dict([('a', 1)])",
    "strftime_now('%Q')",
    "cycler('a', 'b').next()",
    "joiner(',')() ~ 'x'",
}
# Refused by Jinja2 alone: comparing and ordering different kinds, looping over none, joining what is no text.
MEANT = {
    "'a' < 1",
    "o < 1",
    "1 in 's'",
    "o[1:]",
    "d.items() | tojson",
    "d.keys() | tojson",
    "range(3) | tojson",
    "o | list",
    "q | sort",
    "u | sort(attribute='r,v') | tojson",
    "o | join(',')",
    "u | selectattr('v', 'gt', 1) | list",
    "u | groupby('zz') | list | length",
    "d | dictsort(by='value')",
    "s is odd",
    "o is odd",
    "l is odd",
    "d is odd",
    "missing is odd",
    "e is odd",
    "range is odd",
    "(1, 2) is odd",
    "d.items() is odd",
    "s is even",
    "o is even",
    "l is even",
    "d is even",
    "missing is even",
    "e is even",
    "range is even",
    "(1, 2) is even",
    "d.items() is even",
}
# Not equal: what prints an object of Python, names that only Python's dictionaries have, a letter of three cases.
OBJECTS = {
    "d.items",
    "d.get",
    "'ǆ'.title()",
    "d.items()",
    "d.keys()",
    "d.values()",
    "l | unique",
    "l | reverse",
    "u | map(attribute='r')",
    "d | items",
    "d | attr('b')",
    "range is lower",
    "range(0)",
    "range(3)",
    "namespace()",
    "lipsum",
}
MESSAGES = [{"role": "user", "content": "hi"}]


def rendered(render):
    """What comes out, or that nothing does."""
    try:
        return render()
    except Exception:
        return None


def both(expression: str) -> tuple[str | None, str | None]:
    """What Jinja2 and what we make of an expression."""
    source = "{{ " + expression + " }}|\n"

    def ours():
        return bloomdata.ChatTemplate(source, variables=VALUES, date="2026-01-31T12:05:09").render(MESSAGES)

    return rendered(lambda: reference.render(source, MESSAGES, **VALUES)), rendered(ours)


@pytest.mark.parametrize("expression", sorted({*EXPRESSIONS} - REFUSED - MEANT - OBJECTS))
def test_an_expression_is_worth_what_it_is_in_jinja2(expression):
    theirs, ours = both(expression)
    assert ours == theirs


@pytest.mark.parametrize("expression", sorted(REFUSED))
def test_what_is_not_known_here_is_refused(expression):
    theirs, ours = both(expression)
    assert ours is None
    assert theirs is not None


@pytest.mark.parametrize("expression", sorted(MEANT))
def test_only_jinja2_refuses_some_things(expression):
    theirs, ours = both(expression)
    assert theirs is None
    assert ours is not None


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
def test_whole_numbers_that_64_bits_do_not_hold_are_refused(number):
    template = bloomdata.ChatTemplate("{{ messages[0].n | tojson }}\n")
    assert template.render([{"role": "user", "n": 2**64 - 1}]) == str(2**64 - 1)
    with pytest.raises(ConfigError, match="64 bits"):
        template.render([{"role": "user", "content": "", "n": number}])
    with pytest.raises(ConfigError, match="64 bits"):
        bloomdata.ChatTemplate("chatml", variables={"n": [{"x": number}]})
