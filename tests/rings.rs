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
        let climbed = climbed(&code, depth_of(inside));
        let outer = named(&code).into_iter().chain(climbed);
        let outer = outer.filter(|name| is_outer(ring, name));
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

#[test]
fn paths_that_climb_to_the_crate_are_followed() {
    let depth = |file: &str| depth_of(Path::new(file));
    assert_eq!(
        [
            depth("text.rs"),
            depth("ui/mod.rs"),
            depth("ui/state.rs"),
            depth("ui/view/mod.rs")
        ],
        [1, 1, 2, 2]
    );
    let code = "use super::super::io::clock;\nuse super::{state::State, super::{io, text}};\n\
                use super::view;\nlet x = super::super::call::Call::new();";
    assert_eq!(climbed(code, 2), ["io", "io", "text", "call"]);
    // A module within the file is one deeper, which its own `super` makes up for.
    let tests = "mod tests {\n    use super::*;\n    use super::super::super::io::clock;\n}";
    assert_eq!(climbed(tests, 2), ["io"]);
    let tests = "mod tests {\n    use super::super::message::VERSION;\n}";
    assert_eq!(climbed(tests, 2), Vec::<String>::new());
    assert_eq!(climbed("use super::io;", 1), ["io"]);
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

/// How many `super` lead from the top of this file to the crate.
fn depth_of(file: &Path) -> usize {
    let is_module = file.file_name().is_some_and(|name| name == "mod.rs");
    file.components().count() - usize::from(is_module)
}

/// What is named at the crate's root by climbing there with `super`.
fn climbed(code: &str, depth: usize) -> Vec<String> {
    const UP: &str = "super::";
    let mut names = Vec::new();
    for (at, _) in code.match_indices(UP) {
        // The first of a row counts for all of it.
        if code[..at].ends_with(UP) {
            continue;
        }
        let row = code[at..]
            .split(UP)
            .take_while(|between| between.is_empty())
            .count();
        let rest = &code[at + row * UP.len()..];
        let above = depth + modules_around(code, at);
        let outside = groups_around(code, at);
        // A group's own `super` is met later, with those before the group.
        if row + outside == above {
            names.extend(first_names(rest));
        }
    }
    names
}

/// Modules written out in the file that are open at `at`.
fn modules_around(code: &str, at: usize) -> usize {
    let mut open = Vec::new();
    for (i, c) in code[..at].char_indices() {
        match c {
            '{' => {
                let line = code[..i].rsplit('\n').next().unwrap_or_default();
                open.push(line.split_whitespace().any(|word| word == "mod"));
            }
            '}' => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
}

/// The `super` before each group of the same `use` that is open at `at`.
fn groups_around(code: &str, at: usize) -> usize {
    let start = code[..at].rfind(';').map_or(0, |end| end + 1);
    let mut open = Vec::new();
    for (i, c) in code[start..at].char_indices() {
        match c {
            '{' => {
                let before = &code[start..start + i];
                let path = before.rsplit([',', '{', ' ', '\n']).next().unwrap_or_default();
                open.push(path.matches("super::").count());
            }
            '}' => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().sum()
}

/// What follows `crate::`, also in a group.
fn named(code: &str) -> Vec<String> {
    let at_root = code.match_indices("crate::");
    at_root
        .flat_map(|(at, path)| first_names(&code[at + path.len()..]))
        .collect()
}

/// The first names of a path, or of those of a group.
fn first_names(rest: &str) -> Vec<String> {
    let Some(group) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let mut names = Vec::new();
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
    names
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}
