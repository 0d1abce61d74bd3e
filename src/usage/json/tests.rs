use proptest::prelude::*;

use super::*;

struct Path(&'static [&'static str]);

impl AsRef<[&'static str]> for Path {
    fn as_ref(&self) -> &[&'static str] {
        self.0
    }
}

static PATHS: [Path; 4] = [
    Path(&["usage", "in"]),
    Path(&["usage", "details", "cached"]),
    Path(&["model"]),
    Path(&["usage", "details"]),
];

#[derive(Default, PartialEq, Debug)]
struct Found(Vec<(String, String)>);

impl Visitor<Path> for Found {
    fn value(&mut self, at: &'static Path, value: Value<'_>) {
        self.0.push((at.0.join("."), format!("{value:?}")));
    }
}

fn read(json: &[u8], piece: usize) -> (Found, Progress) {
    let mut reader = PathReader::<Path, 16>::new(&PATHS);
    let mut found = Found::default();
    for bytes in json.chunks(piece) {
        reader.feed(bytes, &mut found);
    }
    (found, reader.progress())
}

/// What is found, the same in whatever pieces the document comes.
fn found(json: &str) -> (Vec<(String, String)>, Progress) {
    let whole = read(json.as_bytes(), json.len().max(1));
    for piece in 1..json.len().min(40) {
        assert_eq!(
            read(json.as_bytes(), piece),
            whole,
            "{json} in pieces of {piece}"
        );
    }
    (whole.0.0, whole.1)
}

fn values(json: &str) -> Vec<String> {
    let (found, progress) = found(json);
    assert_eq!(progress, Progress::Complete, "{json}");
    found.into_iter().map(|(_, value)| value).collect()
}

#[test]
fn finds_scalars_at_their_paths_only() {
    let (found, progress) = found(
        r#" {"model":"m", "in":1, "usage" : {"in": 7 ,"other":{"in":2}, "details":{"cached":3}},
             "list":[{"usage":{"in":4}}], "text":"{\"usage\":{\"in\":5}}", "x":{"usage":{"in":6}}} "#,
    );
    let expected = [
        ("model", "Text(\"m\")"),
        ("usage.in", "Count(7)"),
        ("usage.details", "Other"),
        ("usage.details.cached", "Count(3)"),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(path, value)| ((*path).to_owned(), (*value).to_owned()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(progress, Progress::Complete);
}

#[test]
fn reads_whole_numbers_and_no_others() {
    let cases = [
        ("0", "Count(0)"),
        ("12", "Count(12)"),
        ("12.0", "Count(12)"),
        ("12.000", "Count(12)"),
        ("1000000000000", "Count(1000000000000)"),
        ("1000000000001", "Other"),
        ("99999999999999999999999", "Other"),
        ("-1", "Other"),
        ("-0", "Other"),
        ("12.5", "Other"),
        ("1e3", "Other"),
        ("12.0e1", "Other"),
        ("-1.5E-7", "Other"),
        ("1.5e1", "Other"),
        ("null", "Null"),
        ("true", "Other"),
        ("\"12\"", "Text(\"12\")"),
        ("\"a string beyond the buffer\"", "Other"),
        ("[12]", "Other"),
        ("{\"a\":12}", "Other"),
    ];
    for (number, expected) in cases {
        let json = format!(r#"{{"usage":{{"in":{number}}}}}"#);
        assert_eq!(values(&json), [expected], "{number}");
    }
}

#[test]
fn compares_keys_by_what_they_mean() {
    let cases = [
        r#"{"\u0075sage":{"\u0069\u006E":1}}"#,
        r#"{"us\u0061ge":{"in":1}}"#,
    ];
    for json in cases {
        assert_eq!(values(json), ["Count(1)"], "{json}");
    }
    let cases = [
        r#"{"usage\\":{"in":1}}"#,
        r#"{"usage ":{"in":1}}"#,
        r#"{"usag":{"in":1}}"#,
        r#"{"usage-and-much-more-than-fits":{"in":1}}"#,
        r#"{"\ud83d\ude00usage":{"in":1}}"#,
        r#"{"usage\ud83d":{"in":1}}"#,
    ];
    for json in cases {
        assert!(values(json).is_empty(), "{json}");
    }
}

#[test]
fn decodes_strings() {
    let cases = [
        (r#""\u00e9\ud83d\ude00""#, "é😀"),
        (r#""\ud83dx""#, "\u{fffd}x"),
        (r#""\ud83d\n""#, "\u{fffd}\n"),
        (r#""\ud83d""#, "\u{fffd}"),
        (r#""\ud83d\u0041""#, "\u{fffd}A"),
        (r#""\udc00""#, "\u{fffd}"),
        (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
    ];
    for (text, expected) in cases {
        let json = format!(r#"{{"model":{text}}}"#);
        assert_eq!(values(&json), [format!("Text({expected:?})")], "{text}");
    }
}

#[test]
fn reports_repeated_keys_in_order() {
    assert_eq!(
        values(r#"{"usage":{"in":1,"in":2},"usage":{"in":3}}"#),
        ["Count(1)", "Count(2)", "Count(3)"]
    );
}

#[test]
fn knows_how_far_it_came() {
    let cases = [
        ("", Progress::Empty),
        (" \r\n\t", Progress::Empty),
        ("{", Progress::Partial),
        (r#"{"usage":{"in":1}"#, Progress::Partial),
        (r#"{"model":"m"#, Progress::Partial),
        ("{}", Progress::Complete),
        ("[1,[2],\"]\"]\n", Progress::Complete),
        ("null", Progress::Complete),
        ("nul", Progress::Partial),
        ("nul ", Progress::Lost),
        ("\"text\"", Progress::Complete),
        ("{} {}", Progress::Lost),
        ("}", Progress::Lost),
        ("{,}", Progress::Lost),
        ("{\"a\" 1}", Progress::Lost),
        ("{\"a\":1,}", Progress::Lost),
        ("{\"a\":tru}", Progress::Lost),
        ("{\"a\":12.}", Progress::Lost),
        ("{\"a\":--1}", Progress::Lost),
        ("{\"a\":1e}", Progress::Lost),
        ("{\"a\":1-2}", Progress::Lost),
        ("--boundary\n", Progress::Lost),
        ("{\"a\":}", Progress::Lost),
        ("{\"a\\x\":1}", Progress::Lost),
        ("<html>", Progress::Lost),
    ];
    for (json, expected) in cases {
        assert_eq!(found(json).1, expected, "{json}");
    }
}

#[test]
fn nesting_costs_nothing() {
    let mut reader = PathReader::<Path, 16>::new(&PATHS);
    let mut found = Found::default();
    reader.feed(b"{\"deep\":", &mut found);
    for _ in 0..1_000_000 {
        reader.feed(b"[", &mut found);
    }
    assert_eq!(reader.progress(), Progress::Partial);
    for _ in 0..1_000_000 {
        reader.feed(b"]", &mut found);
    }
    reader.feed(b",\"usage\":{\"in\":9}}", &mut found);
    assert_eq!(reader.progress(), Progress::Complete);
    assert_eq!(found.0.len(), 1);
}

#[test]
fn shows_strings_as_written_and_where_they_stand() {
    #[derive(Default)]
    struct Texts {
        at_model: Vec<u8>,
        elsewhere: Vec<u8>,
    }
    impl Visitor<Path> for Texts {
        const SIZES: bool = true;

        fn value(&mut self, _: &'static Path, _: Value<'_>) {}

        fn text(&mut self, at: Option<&'static Path>, written: &[u8]) {
            let text = match at {
                Some(_) => &mut self.at_model,
                None => &mut self.elsewhere,
            };
            text.extend_from_slice(written);
        }
    }

    let json = br#"{"model":"a\u00e9\"bcdefghijklmnopqrstuvwxyz","x":["model",""],"y":"z\n"}"#;
    for piece in 1..=json.len() {
        let mut reader = PathReader::<Path, 16>::new(&PATHS);
        let mut texts = Texts::default();
        for bytes in json.chunks(piece) {
            reader.feed(bytes, &mut texts);
        }
        let written = br#"a\u00e9\"bcdefghijklmnopqrstuvwxyz"#;
        assert_eq!(texts.at_model, written, "pieces of {piece}");
        assert_eq!(texts.elsewhere, br"modelxmodelyz\n", "pieces of {piece}");
    }
}

#[test]
fn reports_sizes_of_strings_and_bare_text() {
    #[derive(Default)]
    struct Sizes {
        strings: Vec<(u64, String)>,
        bare: String,
    }
    impl Visitor<Path> for Sizes {
        const SIZES: bool = true;

        fn value(&mut self, _: &'static Path, _: Value<'_>) {}

        fn string(&mut self, length: u64, beginning: &[u8]) {
            let beginning = String::from_utf8_lossy(beginning).into_owned();
            self.strings.push((length, beginning));
        }

        fn bare(&mut self, bytes: &[u8]) {
            self.bare.push_str(&String::from_utf8_lossy(bytes));
        }
    }

    let json = r#"{"a":"\n","b":["x\u0041",12,{"c":"0123456789abcdefXYZ"}]}"#;
    for piece in 1..json.len() {
        let mut reader = PathReader::<Path, 16>::new(&PATHS);
        let mut sizes = Sizes::default();
        for bytes in json.as_bytes().chunks(piece) {
            reader.feed(bytes, &mut sizes);
        }
        let expected = [
            (1, "a"),
            (2, "\n"),
            (1, "b"),
            (7, "xA"),
            (1, "c"),
            (19, "0123456789abcdef"),
        ];
        let expected = expected.map(|(length, text)| (length, text.to_owned()));
        assert_eq!(sizes.strings, expected);
        assert_eq!(sizes.bare, ",12,:");
    }
}

/// Any JSON made of the keys that paths use, so that many documents hold matches.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let scalar = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (0..=MAX_COUNT).prop_map(Into::into),
        "[ -~é😀]{0,20}".prop_map(Into::into),
    ];
    scalar.prop_recursive(5, 60, 6, |inner| {
        let key = prop::sample::select(vec!["usage", "in", "details", "cached", "model", "x\"\\"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((key, inner), 0..6).prop_map(|entries| {
                let entries = entries.into_iter();
                serde_json::Value::Object(entries.map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

fn expected(document: &serde_json::Value, path: &Path) -> Option<String> {
    use serde_json::Value as Json;

    let mut value = document;
    for key in path.0 {
        value = value.as_object()?.get(*key)?;
    }
    Some(match value {
        Json::Null => "Null".to_owned(),
        Json::Number(count) => format!("Count({count})"),
        Json::String(text) if text.len() <= 16 => format!("Text({text:?})"),
        _ => "Other".to_owned(),
    })
}

proptest! {
    #[test]
    fn agrees_with_a_whole_parser(
        document in any_json(),
        pretty in any::<bool>(),
        piece in 1usize..40,
    ) {
        let json = if pretty {
            serde_json::to_string_pretty(&document)
        } else {
            serde_json::to_string(&document)
        };
        let (found, progress) = read(json.unwrap().as_bytes(), piece);
        prop_assert_eq!(progress, Progress::Complete);
        for path in &PATHS {
            let name = path.0.join(".");
            let found = found.0.iter().find(|(at, _)| *at == name).map(|(_, value)| value.clone());
            prop_assert_eq!(found, expected(&document, path));
        }
    }

    #[test]
    fn agrees_with_itself_on_any_bytes(
        json in prop::collection::vec(
            prop::sample::select(&b"{}[]\":,\\u0d8 \n1.-eusagein\xff"[..]), 0..200),
        piece in 1usize..20,
    ) {
        prop_assert_eq!(read(&json, piece), read(&json, 200));
    }

    #[test]
    fn survives_any_bytes(json in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..20) {
        prop_assert_eq!(read(&json, piece), read(&json, 300));
    }
}
