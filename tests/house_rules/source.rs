//! Reads the workspace's sources and tells code from comments, literals and tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// Folders that hold no source of ours.
const SKIPPED_FOLDERS: [&str; 4] = ["target", ".git", "node_modules", "fixtures"];

/// Folders whose sources are never shipped.
const TEST_FOLDERS: [&str; 4] = ["tests", "benches", "fuzz", "examples"];

/// One Rust source file.
pub(crate) struct Source {
    /// Relative to the repository's root, with forward slashes.
    pub(crate) path: String,
    /// As it stands in the file.
    pub(crate) text: String,
    /// Lines of the file but those of its test modules.
    pub(crate) production_lines: usize,
    /// The functions outside test modules.
    pub(crate) functions: Vec<Function>,
    /// The modules in files of their own that are compiled only for tests, as paths without `.rs`.
    pub(crate) test_modules: Vec<String>,
    /// Code outside tests without literals, comments and spaces between punctuation.
    code: String,
}

/// A function outside test modules.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// From `fn` to the closing brace.
    pub(crate) lines: usize,
}

impl Source {
    /// All Rust sources of the workspace, tests included; read and parsed once.
    pub(crate) fn all() -> &'static [Self] {
        static SOURCES: OnceLock<Vec<Source>> = OnceLock::new();
        SOURCES.get_or_init(|| rust_files().iter().map(|path| Self::parse(path, read(path))).collect())
    }

    /// Takes a text as if it stood in the file at `path`.
    pub(crate) fn parse(path: &str, text: String) -> Self {
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("failed to parse `{path}`: {error}"));
        let (tests, shipped): (Vec<_>, Vec<_>) = file.items.iter().partition(|item| is_test_item(item));
        let mut finder = FunctionFinder::default();
        let mut code = String::new();
        for item in shipped {
            finder.visit_item(item);
            append_code(item.to_token_stream(), &mut code);
        }
        Self {
            path: path.to_owned(),
            production_lines: text.lines().count() - tests.iter().copied().map(span_lines).sum::<usize>(),
            functions: finder.found,
            test_modules: tests.iter().filter_map(|item| module_file(path, item)).collect(),
            code,
            text,
        }
    }

    /// Whether the file belongs to one of these crates.
    pub(crate) fn is_in(&self, crates: &[&str]) -> bool {
        crates.iter().any(|name| self.path.starts_with(&format!("{name}/")))
    }

    /// Whether the file is never part of a shipped program.
    pub(crate) fn is_test_only(&self) -> bool {
        let path = self.path.trim_end_matches(".rs");
        path.split('/').any(|part| TEST_FOLDERS.contains(&part))
    }

    /// Whether an identifier occurs in code outside tests.
    pub(crate) fn mentions(&self, identifier: &str) -> bool {
        self.code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == identifier)
    }

    /// Whether a path or macro call, such as `Instant::now` or `todo!`, occurs in code outside tests.
    pub(crate) fn calls(&self, call: &str) -> bool {
        let code = &self.code;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        code.match_indices(call).any(|(at, _)| {
            let before = code[..at].chars().next_back().is_none_or(|c| !is_word(c));
            let after = code[at + call.len()..].chars().next().is_none_or(|c| !is_word(c));
            before && after
        })
    }

    /// A line of a finding.
    pub(crate) fn names(&self, what: &str) -> String {
        format!("{}: `{what}`", self.path)
    }
}

/// The repository's root folder.
pub(crate) fn repository_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Reads a file of the repository.
pub(crate) fn read(path: &str) -> String {
    let full = repository_root().join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("failed to read `{path}`: {error}"))
}

/// The paths of all Rust files, sorted.
fn rust_files() -> Vec<String> {
    let mut paths: Vec<String> = files().into_iter().filter(|path| path.ends_with(".rs")).collect();
    paths.sort();
    paths
}

/// All text files with their content; what is no UTF-8 is left out.
pub(crate) fn text_files() -> Vec<(String, String)> {
    let root = repository_root();
    files()
        .into_iter()
        .filter_map(|path| fs::read_to_string(root.join(&path)).ok().map(|text| (path, text)))
        .collect()
}

fn files() -> Vec<String> {
    let root = repository_root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository").flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.extend((!SKIPPED_FOLDERS.contains(&name.as_str())).then_some(path));
            } else {
                found.push(relative(&root, &path));
            }
        }
    }
    found
}

fn relative(root: &Path, path: &Path) -> String {
    path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/")
}

#[derive(Default)]
struct FunctionFinder {
    found: Vec<Function>,
}

impl FunctionFinder {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let lines = block.span().end().line + 1 - signature.span().start().line;
        self.found.push(Function { name: signature.ident.to_string(), lines });
    }
}

impl<'ast> Visit<'ast> for FunctionFinder {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test_item(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.add(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }
}

/// The file of a module without content, as a path without `.rs`, seen from the file at `path`.
fn module_file(path: &str, item: &syn::Item) -> Option<String> {
    let syn::Item::Mod(module) = item else { return None };
    let stem = path.trim_end_matches(".rs");
    let folder = stem.strip_suffix("/lib").or_else(|| stem.strip_suffix("/main")).unwrap_or(stem);
    module.content.is_none().then(|| format!("{folder}/{}", module.ident))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "an enum of syn, of which only what can be a test matters"
)]
fn is_test_item(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(module) => &module.attrs,
        syn::Item::Fn(function) => &function.attrs,
        syn::Item::Impl(block) => &block.attrs,
        syn::Item::Use(import) => &import.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        let mut text = String::new();
        append_code(attribute.to_token_stream(), &mut text);
        text.contains("cfg(test)") || text.contains("[test]") || text.contains("cfg(all(test")
    })
}

fn span_lines(item: &syn::Item) -> usize {
    let span = item.span();
    span.end().line + 1 - span.start().line
}

fn append_code(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                text.push_str(open);
                append_code(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Ident(identifier) => {
                if text.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                    text.push(' ');
                }
                text.push_str(&identifier.to_string());
            }
            TokenTree::Punct(punctuation) => text.push(punctuation.as_char()),
            TokenTree::Literal(_) => text.push_str(" \"\" "),
        }
    }
}
