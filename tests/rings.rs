//! The four rings of the map in `src/lib.rs`: an inner ring never names an outer one, and what a ring
//! must not touch is not named in it.

use std::fs;
use std::path::{Path, PathBuf};

/// A ring: its modules, and what besides outer rings must not be named there.
struct Ring {
    modules: &'static [&'static str],
    without: &'static [&'static str],
}

/// From the innermost out. (That none reads a clock is a lint.)
const RINGS: [Ring; 4] = [
    Ring {
        modules: &["media", "picture", "text", "units"],
        without: &[
            "std::thread",
            "std::net",
            "tokio",
            "str0m",
            "crossterm",
            "cpal",
            "nokhwa",
            "rustix",
        ],
    },
    Ring {
        modules: &["call", "signal"],
        without: &[
            "std::thread",
            "UdpSocket",
            "TcpStream",
            "tokio",
            "axum",
            "crossterm",
            "rustix",
        ],
    },
    Ring {
        modules: &["ui"],
        without: &["std::thread", "std::net", "tokio", "str0m", "rustix"],
    },
    // Everything else is the outermost ring, which may name all.
    Ring {
        modules: &[],
        without: &[],
    },
];

#[test]
fn an_inner_ring_names_no_outer_one() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for file in sources(&src) {
        let inside = file.strip_prefix(&src).expect("found there");
        let module = module_of(inside);
        let ring = ring_of(&module);
        let code = without_comments(&fs::read_to_string(&file).expect("a source can be read"));
        let outer = named(&code).into_iter().filter(|name| is_outer(ring, name));
        let touched = RINGS[ring]
            .without
            .iter()
            .filter(|thing| code.contains(*thing))
            .map(|t| (*t).to_owned());
        wrong.extend(
            outer
                .chain(touched)
                .map(|what| format!("{} names {what}", inside.display())),
        );
        checked += 1;
    }
    assert!(checked > 20, "only {checked} sources found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_found_in_every_form() {
    let code =
        "use crate::{io::clock, ui::{State, io}, text};\nlet x = crate::call::Call::new(); // crate::units\n";
    assert_eq!(named(&without_comments(code)), ["io", "ui", "text", "call"]);
    assert!(is_outer(0, "call") && is_outer(1, "ui") && is_outer(2, "io") && is_outer(0, "io"));
    assert!(!is_outer(2, "call") && !is_outer(3, "io") && !is_outer(0, "media"));
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// `media` for `media/frame.rs`, `text` for `text.rs`.
fn module_of(file: &Path) -> String {
    let first = file.components().next().expect("not empty");
    let first = Path::new(first.as_os_str());
    first.file_stem().expect("a name").to_string_lossy().into_owned()
}

fn ring_of(module: &str) -> usize {
    let inner = RINGS.iter().position(|ring| ring.modules.contains(&module));
    inner.unwrap_or(RINGS.len() - 1)
}

/// The name of a module (a macro or a type at the root of the crate is none) that is further out.
fn is_outer(ring: usize, name: &str) -> bool {
    name.starts_with(char::is_lowercase) && ring_of(name) > ring
}

fn without_comments(code: &str) -> String {
    let before = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    code.lines().map(before).collect::<Vec<_>>().join("\n")
}

/// What follows `crate::`, also in a group.
fn named(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            None => names.push(word(rest)),
            Some(group) => {
                let mut depth = 0;
                let mut start = true;
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => start = true,
                        c if start && !c.is_whitespace() => {
                            names.push(word(&group[at..]));
                            start = false;
                        }
                        _ => (),
                    }
                }
            }
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
