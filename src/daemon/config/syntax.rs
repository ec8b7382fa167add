//! What the parser says of text that is no TOML, in words for whoever wrote the text, and at the place to look at.

use std::collections::BTreeSet;
use std::ops::Range;

use glint::model::row_column;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

/// How its messages begin that say what the parser wants instead.
const EXPECTED: &str = ", expected ";
const QUOTES: &str = "neither a number, true nor false; text stands in quotes";
const NUMBER: &str = "not a number; text stands in quotes";
const TIME: &str = "not a number, a date or a time; text stands in quotes";
const DEEP: &str = "too many brackets inside one another";
const TWICE: &str = "set a second time; each key and each table stands once in a file";
const BELOW: &str = "this key has a value already, so that no key can stand below it";
const LARGE: &str = "the number is too large; allowed: -9223372036854775808 to 9223372036854775807";
const ESCAPE: &str =
    "a backslash in text in double quotes begins an escape; write two of them, or single quotes";
const CODE: &str = "\\x, \\u and \\U need the 2, 4 or 8 hexadecimal digits of a character";
const RETURN: &str = "a carriage return without a line feed behind it";
const CLOSING: &str = "the closing quote is missing";
const CLOSINGS: &str = "the three closing quotes are missing";
const CONTROL: &str = "a control character in text";
const ARRAY: &str = "] is missing: the list is not closed";
const COMMA: &str = "a comma is missing between two values";
const INLINE: &str = "} is missing: the table is not closed";

/// The parser's messages, how what it wants instead begins where that matters, and the words for both.
const WORDS: [(&str, &str, &str); 69] = [
    // Text, and what begins like something else.
    ("string values must be quoted", "", QUOTES),
    ("invalid string", "", QUOTES),
    ("missing opening quote", "", "the opening quote is missing"),
    ("invalid literal string", "`'`", CLOSING),
    ("invalid basic string", "`\"`", CLOSING),
    ("invalid multi-line literal string", "`'`", CLOSINGS),
    ("invalid multi-line basic string", "`\"`", CLOSINGS),
    (
        "invalid multi-line basic string",
        "newline",
        "behind a backslash at the end of a line nothing may stand",
    ),
    ("invalid literal string", "", CONTROL),
    ("invalid basic string", "", CONTROL),
    ("invalid multi-line literal string", "", CONTROL),
    ("invalid multi-line basic string", "", CONTROL),
    ("missing escaped value", "", ESCAPE),
    ("too few unicode value digits", "", CODE),
    ("invalid value", "unicode", CODE),
    ("carriage return must be followed by newline", "", RETURN),
    ("invalid comment character", "", "a control character in a comment"),
    // Numbers, and what begins like one.
    (
        "invalid boolean",
        "",
        "neither true nor false, which are written in small letters; text stands in quotes",
    ),
    ("invalid integer number", "", NUMBER),
    ("invalid hexadecimal number", "", NUMBER),
    ("invalid octal number", "", NUMBER),
    ("invalid binary number", "", NUMBER),
    ("invalid float", "", NUMBER),
    ("invalid mantissa", "", NUMBER),
    ("invalid fraction", "", NUMBER),
    ("invalid exponent", "", NUMBER),
    ("invalid date-time", "", TIME),
    ("invalid datetime", "", TIME),
    ("invalid date", "", TIME),
    ("invalid time", "", TIME),
    ("invalid offset", "", TIME),
    ("`_` may only go between digits", "", "_ stands between two digits of a number only"),
    ("redundant numeric sign", "", "more than one sign before a number"),
    ("unexpected sign", "", "a number that begins with 0x, 0o or 0b has no sign"),
    ("integers with a radix cannot be signed", "", "a number that begins with 0x, 0o or 0b has no sign"),
    ("radix must be lowercase", "", "0x, 0o and 0b are written in small letters"),
    ("redundant integer number prefix", "", "a decimal number has no prefix"),
    ("unexpected leading zero", "", "a number does not begin with 0; text stands in quotes"),
    ("u64 value was too large", "", LARGE),
    ("integer number overflowed", "", LARGE),
    ("floating-point number overflowed", "", "the number is too large"),
    // Keys and tables.
    ("duplicate key", "", TWICE),
    ("key with no value", "", "= is missing after the key"),
    ("missing value for key", "", "= is missing after the key"),
    ("missing value", "", "the value is missing after ="),
    ("missing assignment between key-value pairs", "", "= is missing after the key"),
    ("extra assignment between key-value pairs", "", "one = too many"),
    ("extra `=`", "", "one = too many"),
    ("unexpected `=` in array", "", "= in a list; is ] missing before it?"),
    ("invalid unquoted key", "", "a key is made of letters, digits, - and _"),
    ("unquoted keys cannot be empty", "", "the name of a key or table is missing"),
    ("invalid key", "", "the name of a key is missing"),
    ("invalid key-value pair", "", "the name of a key is missing"),
    ("missing key for inline table element", "", "the name of a key is missing"),
    ("invalid inline table element", "", "the name of a key is missing"),
    ("keys cannot be multi-line literal strings", "", "a key does not stand in three quotes"),
    ("keys cannot be multi-line basic strings", "", "a key does not stand in three quotes"),
    ("invalid table", "", "the name of the table is missing"),
    ("missing table open", "", "[ is missing before the name of the table"),
    ("unclosed table", "", "] is missing after the name of the table"),
    ("unclosed array table", "", "]] is missing after the name of the table"),
    // Lists, tables in one line, and the end of a line.
    ("unclosed array", "", ARRAY),
    ("unclosed inline table", "", INLINE),
    ("missing array opening", "", "] without [ before it"),
    ("missing inline table opening", "", "} without { before it"),
    ("extra comma in array", "", "one comma too many"),
    ("extra comma in inline table", "", "one comma too many"),
    ("missing comma between array elements", "", COMMA),
    ("missing comma between key-value pairs", "", "a comma is missing between two keys"),
];

/// The same of messages without what the parser wants instead, of which it has several.
const MORE: [(&str, &str); 11] = [
    ("unexpected key or value", "the line should end here: a key and its value have a line of their own"),
    ("unexpected content", "the line should end here"),
    ("missing comment start", "# is missing before the comment"),
    ("cannot recurse further", DEEP),
    ("recursion limit", DEEP),
    ("cannot extend value of type", BELOW),
    // Of files that are read into a type.
    ("invalid type: integer", LARGE),
    ("invalid type", "a value of another kind than the key has"),
    ("invalid value", "a value of another kind than the key has"),
    ("wanted string or table", "a value of another kind than the key has"),
    ("could not allocate for string", "too little memory for this text"),
];

/// What the parser says, without its own words; unchanged where it is none of what is known of it.
pub(super) fn plain(message: &str) -> String {
    let (what, expected) = message.split_once(EXPECTED).unwrap_or((message, ""));
    let fits = |(known, wanted, _): &&(&str, &str, &str)| *known == what && expected.starts_with(wanted);
    if let Some((_, _, words)) = WORDS.iter().find(fits) {
        return (*words).to_owned();
    }
    if let Some((_, words)) = MORE.iter().find(|(known, _)| what.starts_with(known)) {
        return (*words).to_owned();
    }
    // Of files that are read into a type, whose keys the message names between backquotes.
    let named = |prefix: &str| what.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    if let Some(key) = named("unknown field `") {
        return format!("{key}: unknown key");
    }
    if let Some(key) = named("missing field `") {
        return format!("{key}: missing");
    }
    message.replace('\n', " ")
}

/// Why a file other than the configuration is none of what a key names, with line and column.
pub(crate) fn of_file(text: &str, error: &Error) -> String {
    let (row, column) = row_column(text, error.span().map_or(0, |s| s.start));
    format!("line {row}, column {column}: {}", plain(error.message()))
}

/// What is wrong with a text that is no TOML: byte positions and reasons, one for each line.
pub(super) fn problems(text: &str, parsed: &DeTable<'_>, errors: &[&Error]) -> Vec<(usize, String)> {
    let told: Vec<(usize, String)> = errors.iter().map(|error| told(text, parsed, error)).collect();
    // What is not closed is told where it begins. The parser tells where it gave up waiting.
    let is_text = |words: &str| words == CLOSING || words == CLOSINGS;
    let is_bracket = |words: &str| words == ARRAY || words == INLINE;
    let texts: Vec<Range<usize>> = told
        .iter()
        .filter(|(_, words)| is_text(words))
        .map(|(at, _)| around(parsed, *at, |value| value.is_str()).last().map_or(*at, |begin| *begin)..*at)
        .collect();
    let brackets: Vec<Range<usize>> = told
        .iter()
        .filter(|(_, words)| is_bracket(words))
        .map(|(at, _)| {
            let begin = around(parsed, *at, |value| !value.is_str()).first().copied();
            // It has left some before their end, at a bracket of the other kind.
            let left = || parsed.values().filter_map(|value| unfinished(value, text)).min();
            begin.or_else(left).filter(|begin| begin < at).unwrap_or(*at)..*at
        })
        .collect();
    let of = |spans: &[Range<usize>], at: usize| spans.iter().find(|span| span.end == at).cloned();
    let is_within = |spans: &[Range<usize>], at: usize| spans.iter().any(|s| (s.start..=s.end).contains(&at));
    let mut rows = BTreeSet::new();
    let mut out = Vec::new();
    for (at, words) in told {
        let place = if is_text(&words) {
            of(&texts, at).map_or(at, |span| span.start)
        } else if is_bracket(&words) {
            let span = of(&brackets, at).unwrap_or(at..at);
            // The text that is not closed has swallowed the bracket.
            if texts.iter().any(|text| (span.start..=span.end).contains(&text.start)) {
                continue;
            }
            span.start
        } else if is_within(&brackets, at) || is_within(&texts, at) {
            // So does what stands in it, which was meant for keys and values.
            continue;
        } else {
            at
        };
        // What follows in the same line follows from the first.
        if rows.insert(row_column(text, place).0) {
            out.push((place, words));
        }
    }
    out.sort();
    out
}

/// Where and what an error is, by the text that it is of.
fn told(text: &str, parsed: &DeTable<'_>, error: &Error) -> (usize, String) {
    let span = error.span().unwrap_or_default();
    let words = plain(error.message());
    let is_number = |word: &str| word.parse::<f64>().is_ok();
    let part = text.get(span.clone()).unwrap_or_default();
    if words == QUOTES && part.contains(' ') && part.split_whitespace().all(is_number) {
        return (span.start, COMMA.into());
    }
    // The parser puts an empty text where it finds nothing, and misses its quotes.
    let is_empty = || around(parsed, span.start, |value| value.as_str().is_some_and(str::is_empty));
    let is_quoted = |begin: &usize| text.get(*begin..).is_some_and(|rest| rest.starts_with(['"', '\'']));
    if words == CLOSING && is_empty().iter().any(|begin| !is_quoted(begin)) {
        return (span.start, "the value is missing".into());
    }
    (span.start, words)
}

/// Where the texts, lists and tables in one line of a sort begin in which a position lies, the outermost first.
fn around(table: &DeTable<'_>, at: usize, sort: fn(&DeValue<'_>) -> bool) -> Vec<usize> {
    fn collect(
        value: &Spanned<DeValue<'_>>,
        at: usize,
        sort: fn(&DeValue<'_>) -> bool,
        begins: &mut Vec<usize>,
    ) {
        let (span, inner) = (value.span(), value.get_ref());
        let has_place = inner.is_str() || inner.is_array() || inner.is_table();
        if has_place && sort(inner) && (span.start..=span.end).contains(&at) {
            begins.push(span.start);
        }
        match inner {
            DeValue::Array(items) => items.iter().for_each(|item| collect(item, at, sort, begins)),
            // The place of a table with a header is its header.
            DeValue::Table(keys) => keys.values().for_each(|item| collect(item, at, sort, begins)),
            _ => {}
        }
    }
    let mut begins = Vec::new();
    table.values().for_each(|value| collect(value, at, sort, &mut begins));
    begins
}

/// Where the first list or table in one line begins that does not end in its bracket.
fn unfinished(value: &Spanned<DeValue<'_>>, text: &str) -> Option<usize> {
    let span = value.span();
    let whole = text.get(span.clone()).unwrap_or_default();
    let is_open = |open, close| (whole.starts_with(open) && !whole.ends_with(close)).then_some(span.start);
    match value.get_ref() {
        DeValue::Array(_) => is_open('[', ']'),
        DeValue::Table(keys) => {
            is_open('{', '}').or_else(|| keys.values().filter_map(|item| unfinished(item, text)).min())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Config;
    use super::*;

    fn said(text: &str) -> String {
        Config::parse("g", text).map(|_| String::new()).unwrap_or_else(|e| e.to_string())
    }

    /// Words of the parser and of Rust, and how it quotes.
    const FOREIGN: [&str; 20] = [
        "expected",
        "`",
        "literal",
        "basic string",
        "inline",
        "array",
        "u64",
        "i64",
        "f64",
        "radix",
        "mantissa",
        "exponent",
        "boolean",
        "integer",
        "duplicate",
        "recursion",
        "token",
        "unicode",
        "invalid",
        "unexpected",
    ];

    #[test]
    fn what_the_parser_says_is_said_in_plain_words() {
        for (text, line) in [
            ("mqtt.url = mqtt://x", "g:1:12: neither a number, true nor false; text stands in quotes"),
            ("camera.mirror = True", "g:1:17: neither true nor false, which are written in small letters"),
            ("source.kind = none", "g:1:15: not a number; text stands in quotes"),
            ("mqtt.url = 192.168.1.5", "g:1:19: not a number; text stands in quotes"),
            ("mqtt.url = 10:20:30:40", "g:1:12: not a number, a date or a time; text stands in quotes"),
            ("device.id = 2024-13-01", "g:1:13: not a number, a date or a time"),
            ("camera.fps = .5", "g:1:14: not a number"),
            ("camera.fps = 5.", "g:1:16: not a number"),
            ("camera.fps = 5e", "g:1:16: not a number"),
            ("camera.fps = 060", "g:1:14: a number does not begin with 0"),
            ("camera.fps = --6", "g:1:15: more than one sign"),
            ("camera.fps = +0x6", "g:1:14: a number that begins with 0x, 0o or 0b has no sign"),
            ("camera.fps = 0X6", "g:1:14: 0x, 0o and 0b are written in small letters"),
            ("camera.fps = 0d6", "g:1:14: a decimal number has no prefix"),
            ("camera.fps = 6__0", "g:1:15: _ stands between two digits"),
            ("outbox.max_age_s = 18446744073709551615", "g:1:20: the number is too large"),
            ("outbox.max_age_s = 18446744073709551616", "g:1:20: the number is too large"),
            (
                "outbox.max_age_s = 999999999999999999999999999999999999999999",
                "g:1:20: the number is too large",
            ),
            ("camera.fps = 1e999", "g:1:14: the number is too large"),
            ("device.id = \"door", "g:1:13: the closing quote is missing"),
            ("device.id = 'door", "g:1:13: the closing quote is missing"),
            ("device.id = door\"", "g:1:13: the opening quote is missing"),
            ("device.id = \"\"\"\ndoor\n[mqtt]\nx = 1\n", "g:1:13: the three closing quotes are missing"),
            ("device.id = '''\ndoor\n[mqtt]\nx = 1\n", "g:1:13: the three closing quotes are missing"),
            ("source.path = \"C:\\clips\"", "g:1:19: a backslash in text in double quotes begins an escape"),
            ("device.id = \"\\u12\"", "g:1:18: \\x, \\u and \\U need"),
            ("device.id = \"\\uD800\"", "g:1:16: \\x, \\u and \\U need"),
            ("device.id = \"a\u{1}\"", "g:1:15: a control character in text"),
            ("device.id = 'a\u{1}'", "g:1:15: a control character in text"),
            ("# a\u{1}", "g:1:4: a control character in a comment"),
            ("device.id = \"a\"\rx", "g:1:17: a carriage return"),
            ("a = 1\na = 2", "g:2:1: set a second time"),
            ("[mqtt]\n[camera]\n[mqtt]\n", "g:3:2: set a second time"),
            ("mqtt.url = \"a\"\nmqtt.url.x = 1", "g:2:6: this key has a value already"),
            ("[camera]\nfps 60", "g:2:5: = is missing after the key"),
            ("[camera]\nfps", "g:2:4: = is missing after the key"),
            ("[camera]\n= 60", "g:2:1: the name of a key or table is missing"),
            ("[camera]\nfps == 60", "g:2:6: one = too many"),
            ("[cam era]\n", "g:1:5: ] is missing after the name of the table"),
            ("[camera\nfps = 60", "g:1:8: ] is missing after the name of the table"),
            ("[]\n", "g:1:2: the name of a key or table is missing"),
            ("[[camera]\n", "g:1:10: ]] is missing"),
            ("camera]\n", "g:1:7: = is missing after the key"),
            ("größe = 1", "g:1:3: a key is made of letters, digits, - and _"),
            ("[camera] fps = 60", "g:1:10: the line should end here"),
            ("camera.fps = 60 camera.rotate = 90", "g:1:31: the line should end here"),
            ("camera.size = [640 480]", "g:1:16: a comma is missing between two values"),
            ("camera.size = [640,, 480]", "g:1:20: one comma too many"),
            ("camera.size = 640, 480]", "g:1:18: the line should end here"),
            ("camera.size = ]", "g:1:15: ] without ["),
            ("camera = { fps = 60 \"rotate\" = 90 }", "g:1:21: a comma is missing between two keys"),
            ("camera = { fps = 60 rotate = 90 }", "g:1:28: one = too many"),
            ("camera = { fps 60 }", "g:1:16: = is missing after the key"),
            ("camera = { 60", "g:1:10: } is missing: the table is not closed"),
            ("camera = { fps = }", "g:1:18: the value is missing"),
            ("camera = { fps }", "g:1:16: the value is missing"),
            ("camera = }", "g:1:10: } without {"),
        ] {
            let told = said(text);
            assert!(told.starts_with(line), "{text:?} gave {told:?} and not {line:?}");
            for word in FOREIGN {
                assert!(!told.contains(word), "{text:?} gave {told:?}");
            }
        }
    }

    /// What is not closed is told where it begins, and alone: all that follows was swallowed.
    #[test]
    fn what_is_not_closed_is_told_where_it_begins() {
        let rest = "[mqtt]\nurl = \"mqtt://x\"\nprefix = \"p\"\n# end\n";
        assert_eq!(said(&format!("[camera]\nsize = [640, 480\n{rest}")), format!("g:2:8: {ARRAY}"));
        assert_eq!(said(&format!("[camera]\nsize = [[640, 480]\n{rest}")), format!("g:2:8: {ARRAY}"));
        assert_eq!(said(&format!("camera = {{ fps = 60\n{rest}")), format!("g:1:10: {INLINE}"));
        // The quote is the cause.
        assert_eq!(said(&format!("[source]\ncommand = [\"a\", \"b]\n{rest}")), format!("g:2:17: {CLOSING}"));
        assert_eq!(said(&format!("[source]\ncommand = [\"\"\"a]\n{rest}")), format!("g:2:12: {CLOSINGS}"));
        // What stands before is told all the same.
        let both = said(&format!("device.id = maybe\n[camera]\nsize = [640, 480\n{rest}"));
        assert_eq!(both, format!("g:1:13: {QUOTES}\ng:3:8: {ARRAY}"));
    }

    #[test]
    fn nothing_that_stands_in_the_text_is_shown() {
        for text in [
            "mqtt.password = s3cret",
            "mqtt.password = \"s3cret",
            "mqtt.password \"s3cret\"",
            "[mqtt] password = \"s3cret\"",
            "source.command = [\"a\" \"s3cret\"]",
            "mqtt = \"mqtt://u:s3cret@h\"",
            "mqtt = { password = \"s3cret\" }",
            "mqtt = [{ password = \"s3cret\" }]",
            "[[mqtt]]\npassword = \"s3cret\"",
            "mqtt.url = { password = \"s3cret\" }",
            "mqtt.url = [\"s3cret\"]",
            "mqtt.url = \"mqtt://u:s3cret@h\"",
            "mqtt.url = \"u:s3cret@h\"",
            "mqtt.username = [\"s3cret\"]",
            "mqtt.password = \"s3cret\"",
            "mqtt.password.text = \"s3cret\"",
            "mqqt.password = \"s3cret\"",
            "password = \"s3cret\"",
            "\"mqtt://u:s3cret@h.org\" = 1",
            "[mqtt]\n\"mqtt://u:s3cret@h.org\" = 1",
            "[mqtt]\n\"a\\nb s3cret\" = 1",
            "source.command = { token = \"s3cret\" }",
            "source.command = [5, \"s3cret\"]",
            "source.command = \"curl -H 'token: s3cret'\"",
            "camera.fps = \"mqtt://u:s3cret@h\"",
            "camera.size = [\"s3cret\", 1]",
            "gate.kinds = [\"mqtt://u:s3cret@h\"]",
            "source.kind = \"mqtt://u:s3cret@h\"",
            "page.listen = \"http://u:s3cret@h\"",
            "page.hosts = [\"u:s3cret@h\"]",
            "device.id = \"s3cret key\"",
            "mqtt.prefix = \"s3cret/\"",
            "mqtt.client_id = \"s3cret\\u0007\"",
            "model.trusted_keys = [\"s3cret\"]",
        ] {
            let told = said(text);
            assert!(!told.is_empty() && !told.contains("s3cret"), "{text:?} gave {told:?}");
            assert_eq!(told.lines().count(), 1, "{text:?} gave {told:?}");
        }
    }

    #[test]
    fn files_that_a_key_names_are_read_with_the_same_words() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its errors matter")]
        struct Numbers {
            au12: f32,
        }
        for (text, words) in [
            (
                "au12 = 1\nau13 = s3cret",
                "line 2, column 8: neither a number, true nor false; text stands in quotes",
            ),
            ("au12 = \"s3cret\"", "line 1, column 8: a value of another kind than the key has"),
            ("au12 = 1\nau99 = 1", "line 2, column 1: au99: unknown key"),
            ("", "line 1, column 1: au12: missing"),
        ] {
            let error = toml::from_str::<Numbers>(text).expect_err(text);
            assert_eq!(of_file(text, &error), words);
        }
    }

    proptest! {
        /// Pieces of a configuration in any order: whatever the parser says of them, it says it in our words.
        #[test]
        fn no_word_of_the_parser_reaches_the_reader(
            pieces in prop::collection::vec(prop::sample::select(&[
                "[", "]", "[[", "]]", "{", "}", "=", ",", ".", "#", "\"", "'", "\"\"\"", "'''", "\\", "\\u1", "\n", "\r",
                " ", "mqtt", "camera", "url", "fps", "60", "0x", "0X1", "+", "-", "_", "1e", "inf", "nan", "true", "TRUE",
                "12:30", "2024-01-01", "2024-01-01T1", "ä", "\u{1}", "99999999999999999999", "mqtt://x", "a b",
            ][..]), 1..24)
        ) {
            let text = pieces.concat();
            for line in said(&text).lines() {
                // What follows is the list of our own keys.
                let told = line.split("; allowed: ").next().unwrap_or_default();
                for word in FOREIGN {
                    prop_assert!(!told.contains(word), "{text:?} gave {line:?}");
                }
            }
        }
    }
}
