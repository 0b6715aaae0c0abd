//! Text and variables of any kind never make the loader panic.

use proptest::prelude::*;

use super::*;

/// Text that looks like a configuration often enough to reach every reader.
fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[[gateway]]\n".to_owned()),
        Just("[[application]]\n".to_owned()),
        prop::sample::select(schema::TABLES).prop_map(|table| format!("[{}]\n", table.name)),
        (prop::sample::select(any_key_names()), any_value())
            .prop_map(|(key, value)| format!("{key} = {value}\n")),
        any::<String>(),
        Just(HQ.to_owned()),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn any_key_names() -> Vec<&'static str> {
    let keys = schema::all().map(|(_, key)| key).chain(schema::GATEWAY).chain(schema::APPLICATION);
    keys.map(|key| key.name).collect()
}

fn any_value() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "\"\"",
        "\"*\"",
        "\"10.0.0.0/8\"",
        "\"tcp/1-\"",
        "\"auto\"",
        "\"hq\"",
        "true",
        "-1",
        "9223372036854775808",
        "0x10",
        "1.5",
        "1979-05-27",
        "{}",
        "[]",
        "[{}]",
        "{ a = { b = 1 } }",
        "[[1]]",
        "\"ü\"",
        "{ domain = \"x\", servers = 5 }",
    ]);
    prop_oneof![word.prop_map(str::to_owned), any::<String>().prop_map(|text| format!("{text:?}"))]
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics_the_loader(text in hostile_text()) {
        if let Err(error) = parse(&text) {
            prop_assert!(error.diagnostics.iter().any(|one| one.severity == Severity::Error));
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn arbitrary_variables_never_panic_the_loader(value in any::<String>(), index in any::<prop::sample::Index>()) {
        let all: Vec<_> = schema::all().collect();
        let (table, key) = index.get(&all);
        let variables = environment(&[(&overrides::variable_of(table, key.name), &value)]);
        let sources = Sources { file: "c.toml".into(), environment: variables, arguments: vec![value] };
        let _ = Config::from_source(&Source::new(Path::new("c.toml"), HQ.to_owned()), &sources);
    }
}
