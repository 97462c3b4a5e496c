//! Layers: which part of a crate may name which, read from the paths in its files. Foundation's folders come one after the other; a
//! service's parts know each other in one direction only; nothing goes in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proto::SERVICES;

use super::root;

/// Foundation's folders: each names only itself and those before it.
const FOUNDATION: [&str; 6] = ["base", "data", "call", "log", "out", "host"];

/// A service's parts, and which others each may name.
const SERVICE: [(&str, &[&str]); 16] = [
    ("config", &[]),
    ("domain", &[]),
    ("error", &["domain"]),
    ("store", &["domain", "error"]),
    // What is decided on is also shown: a view may read it as a command does.
    ("views", &["domain", "error", "store"]),
    ("wire", &["domain", "error", "views"]),
    ("announcements", &["domain", "wire"]),
    // Other services, and the outside.
    ("dispatch", &["domain", "error"]),
    ("gateway", &["domain"]),
    ("platform", &[]),
    ("photo_store", &["domain"]),
    // What leaves the house, each by its way: put together from what is stored and shown, recorded as a command is.
    ("deliveries", &["domain", "error", "store", "views", "announcements", "dispatch", "gateway", "platform"]),
    ("operations", &["domain", "error", "store", "announcements", "deliveries", "dispatch"]),
    ("subscriptions", &["domain", "wire", "operations"]),
    ("schedule", &["error", "operations"]),
    ("rpc", &["domain", "error", "views", "wire", "photo_store", "operations"]),
];

/// Each part of a crate, and the parts that its files name.
fn edges(crate_folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let (src, mut edges) = (crate_folder.join("src"), BTreeMap::new());
    for file in super::sources().into_iter().filter(|file| file.starts_with(&src)) {
        let path: Vec<_> = file.strip_prefix(&src).unwrap().components().collect();
        let part = path[0].as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let named = named_in(&fs::read_to_string(&file).unwrap(), path.len());
        edges.entry(part).or_insert_with(BTreeSet::new).extend(named);
    }
    edges
}

/// What stands behind `crate::`, also in groups, and in groups of those.
fn named(text: &str) -> Vec<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join(" ");
    let mut named = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let group = rest.strip_prefix('{');
        let (mut depth, mut begins) = (0, true);
        for (at, character) in group.unwrap_or(rest).char_indices() {
            if begins && !character.is_whitespace() {
                let word: String = group.unwrap_or(rest)[at..].chars().take_while(|c| is_of_a_name(*c)).collect();
                named.extend((!word.is_empty()).then_some(word));
                begins = false;
            }
            match character {
                _ if group.is_none() => break,
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' => begins = depth == 0,
                _ => {}
            }
        }
    }
    named
}

fn is_of_a_name(character: char) -> bool {
    character.is_ascii_lowercase() || character == '_'
}

/// The same, with what stands behind as many `super::` as lead to the crate.
fn named_in(text: &str, depth: usize) -> Vec<String> {
    named(&text.replace(&"super::".repeat(depth), "crate::"))
}

/// What goes against the layers.
fn against(layers: &BTreeMap<&str, Vec<&str>>, edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (part, named) in edges {
        let Some(may) = layers.get(part.as_str()) else { continue };
        let strays = named
            .iter()
            .filter(|other| *other != part && layers.contains_key(other.as_str()) && !may.contains(&other.as_str()));
        wrong.extend(strays.map(|other| format!("{part} names {other}")));
    }
    wrong
}

fn service_layers() -> BTreeMap<&'static str, Vec<&'static str>> {
    SERVICE.map(|(part, may)| (part, may.to_vec())).into()
}

#[test]
fn foundations_folders_are_layers() {
    let edges = edges(&root().join("services/foundation"));
    let parts: Vec<_> = edges.keys().filter(|part| *part != "lib").map(String::as_str).collect();
    let mut layers = FOUNDATION.to_vec();
    layers.sort_unstable();
    assert_eq!(parts, layers, "a folder that is no layer");
    let before = |place: usize| FOUNDATION[..place].to_vec();
    let layers = FOUNDATION.iter().enumerate().map(|(place, part)| (*part, before(place))).collect();
    assert_eq!(against(&layers, &edges), [""; 0]);
}

#[test]
fn a_services_parts_know_each_other_in_one_direction() {
    for service in SERVICES {
        let edges = edges(&root().join(format!("services/{service}")));
        for part in edges.keys().filter(|part| *part != "lib") {
            assert!(service_layers().contains_key(part.as_str()), "{service} has a part of its own: {part}");
        }
        assert_eq!(against(&service_layers(), &edges), [""; 0], "{service}");
    }
}

#[test]
fn what_goes_against_the_layers_is_found() {
    let text = "use crate::{domain::{a, b}, error};\nuse crate::wire::event as wire;\n// crate::rpc\nsuper::super::store::add()";
    assert_eq!(named_in(text, 2), ["domain", "error", "wire", "store"]);
    assert_eq!(named_in("use super::super::case;", 3), [""; 0]);
    let edges = BTreeMap::from([("rpc".to_owned(), named_in(text, 2).into_iter().collect())]);
    assert_eq!(against(&service_layers(), &edges), ["rpc names store"]);
}

#[test]
fn files_of_a_folder_name_each_other_in_no_circle() {
    let crates = SERVICES.iter().chain(&["foundation"]);
    for folder in crates.flat_map(|name| folders(&root().join(format!("services/{name}/src")))) {
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
            let own = file.file_stem().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&file).unwrap();
            let siblings = named(&text.replace("super::super::", "").replace("super::", "crate::"));
            edges.insert(own.clone(), siblings.into_iter().filter(|other| *other != own).collect());
        }
        assert_eq!(circle(&edges), None, "{}", folder.display());
    }
}

fn folders(src: &Path) -> Vec<std::path::PathBuf> {
    fs::read_dir(src).unwrap().flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

/// Files that name each other in a circle, if some do.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut left = edges.clone();
    loop {
        let before = left.len();
        let files: BTreeSet<_> = left.keys().cloned().collect();
        left.retain(|_, named| named.iter().any(|other| files.contains(other)));
        if left.is_empty() {
            return None;
        }
        if left.len() == before {
            return Some(left.into_keys().collect());
        }
    }
}

#[test]
fn a_circle_is_found() {
    let edge = |from: &str, to: &[&str]| (from.to_owned(), to.iter().map(|to| (*to).to_owned()).collect());
    let line = BTreeMap::from([edge("a", &["b"]), edge("b", &["c"]), edge("c", &[])]);
    assert_eq!(circle(&line), None);
    let round = BTreeMap::from([edge("a", &["b"]), edge("b", &["a"]), edge("c", &["a"])]);
    assert!(circle(&round).is_some());
}

#[test]
fn the_domain_is_pure() {
    for path in super::sources() {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        if !shown.contains("/src/domain") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        let banned = [
            "sqlx",
            "tonic",
            "tokio",
            "async_nats",
            "proto::",
            "async fn",
            "clock::now",
            "id::new",
            "foundation::data",
            "foundation::call",
            "foundation::log",
            "foundation::out",
            "foundation::host",
        ];
        for banned in banned {
            assert!(!text.contains(banned), "{shown} knows of {banned}");
        }
    }
}
