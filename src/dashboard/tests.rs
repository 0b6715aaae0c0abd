//! Tests of the page's files: complete, small, on their own, and every text in one place.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use regex::Regex;

use super::*;

/// The bar for the whole page, in octets, as it goes over the wire.
const MOST_OCTETS: usize = 150 << 10;

fn text_of(path: &str) -> String {
    String::from_utf8(asset(path).unwrap().body.to_vec()).unwrap()
}

fn scripts() -> Vec<(&'static str, String)> {
    let scripts = paths().filter(|path| path.ends_with(".js"));
    scripts.map(|path| (path, text_of(path))).collect()
}

fn captures(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).unwrap();
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn every_file_of_the_folder_is_served_and_no_other() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard");
    let names = |folder: &Path, prefix: &str| -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files.map(|file| format!("{prefix}{}", file.file_name().to_string_lossy())).collect()
    };
    let files = [names(&folder, "/"), names(&folder.join("app"), "/app/")].concat();
    let expected: BTreeSet<String> = files
        .into_iter()
        .filter(|name| !name.ends_with(".rs"))
        .map(|name| name.replace("/index.html", "/"))
        .collect();
    assert_eq!(paths().map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    assert_eq!(asset("/index.html"), None);
    assert_eq!(asset("/app/../app.css"), None);
}

#[test]
fn the_whole_page_is_small() {
    let sizes: Vec<usize> = paths().map(|path| asset(path).unwrap().body.len()).collect();
    let all: usize = sizes.iter().sum();
    assert!(all < MOST_OCTETS, "{all} octets");
}

#[test]
fn nothing_is_fetched_from_elsewhere_and_nothing_stands_inline() {
    for path in paths() {
        let text = text_of(path).replace("http://www.w3.org/2000/svg", "");
        let addresses = captures(r#"((?:https?:)?//[a-z0-9.-]+\.[a-z]{2,})"#, &text);
        assert!(addresses.is_empty(), "{path}: {addresses:?}");
        for forbidden in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"]
        {
            assert!(!text.contains(forbidden), "{path}: {forbidden}");
        }
    }
    let page = text_of("/");
    let inline = captures(r#"(<script>|<style| style=| on[a-z]+=)"#, &page);
    assert!(inline.is_empty(), "the policy lets nothing inline pass: {inline:?}");
}

#[test]
fn every_module_that_the_state_waits_for_is_asked_for_at_once() {
    let page = text_of("/");
    let mut needed = BTreeSet::from(["main.js".to_owned()]);
    loop {
        let found = needed.iter().flat_map(|name| imports(&text_of(&format!("/app/{name}"))));
        let more: Vec<String> = found.map(|(_, from)| from).filter(|from| !needed.contains(from)).collect();
        if more.is_empty() {
            break;
        }
        needed.extend(more);
    }
    for name in &needed {
        let is_asked_for = page.contains(&format!("\"/app/{name}\""));
        assert!(is_asked_for, "{name} would be found only after another module came");
    }
    assert_eq!(page.matches("/app/").count(), needed.len(), "nothing else delays the state");
}

#[test]
fn each_text_stands_in_the_one_file_and_is_used() {
    let strings = text_of("/app/strings.js");
    let others: String = scripts()
        .iter()
        .filter(|(path, _)| *path != "/app/strings.js")
        .map(|(_, text)| text.as_str())
        .collect();
    let (texts, words) = strings.split_once("export const words").unwrap();
    // A text that is looked up by a name of the state is said so there.
    let looked_up = captures(r"sessionNote: [^\n]*'([a-zA-Z]+)'", &others);
    for key in captures(r"(?m)^  ([a-zA-Z]+):", texts) {
        let used =
            Regex::new(&format!(r"text\.{key}\b")).unwrap().is_match(&others) || looked_up.contains(&key);
        assert!(used, "`text.{key}` is used nowhere");
    }
    for key in captures(r"(?m)^  ([a-zA-Z]+):", words) {
        assert!(others.contains(&format!("words.{key}")), "`words.{key}` is used nowhere");
    }
    for (place, used) in [("text", texts), ("words", words)] {
        for key in captures(&format!(r"\b{place}\.([a-zA-Z]+)"), &others) {
            assert!(used.contains(&format!("\n  {key}:")), "`{place}.{key}` does not exist");
        }
    }
    for (path, text) in scripts().iter().filter(|(path, _)| *path != "/app/strings.js") {
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with(['/', '*'])).collect();
        let sentences = captures(r"['`]([A-Z][a-z]+ [a-z]+[^'`]*)['`]", &code);
        assert!(sentences.is_empty(), "{path}: texts belong in strings.js: {sentences:?}");
    }
}

#[test]
fn tags_differ_and_stay() {
    let tags: BTreeSet<&str> = paths().map(|path| asset(path).unwrap().etag).collect();
    assert_eq!(tags.len(), paths().count());
    assert!(tags.iter().all(|tag| tag.starts_with('"') && tag.ends_with('"')));
    assert_eq!(asset("/").unwrap().etag, asset("/").unwrap().etag);
}

#[test]
fn modules_import_only_what_exists() {
    for (path, text) in scripts() {
        for (names, from) in imports(&text) {
            let target = text_of(&format!("/app/{from}"));
            for name in names {
                let declared =
                    Regex::new(&format!(r"export (?:async )?(?:function|const|class) {name}\b")).unwrap();
                assert!(declared.is_match(&target), "{path}: {from} has no {name}");
                let uses = Regex::new(&format!(r"\b{name}\b")).unwrap().find_iter(&text).count();
                assert!(uses > 1, "{path}: {name} is imported and not used");
            }
        }
    }
}

fn imports(text: &str) -> Vec<(Vec<String>, String)> {
    let import = Regex::new(r"import \{ ([^}]+) \} from '\./([a-z]+\.js)';").unwrap();
    let list = |names: &str| names.split(", ").map(str::to_owned).collect();
    import.captures_iter(text).map(|found| (list(&found[1]), found[2].to_owned())).collect()
}
