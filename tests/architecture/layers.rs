//! Layers: which part of a crate may name which, read from the paths in its files. Foundation's folders come one after the other; a
//! service's parts know each other in one direction only; nothing goes in a circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use proto::services::NAMES;

use super::root;

/// Foundation's folders: each names only itself and those before it.
const FOUNDATION: [&str; 6] = ["base", "data", "call", "log", "out", "host"];

/// A service's parts: each names only itself and those before it in this list.
const SERVICE: [&str; 16] = [
    "config",
    "domain",
    "error",
    "store",
    "views",
    "wire",
    "announcements",
    // What reaches out of the service, and what goes that way.
    "dispatch",
    "gateway",
    "platform",
    "photo_store",
    "deliveries",
    "operations",
    "subscriptions",
    "schedule",
    "rpc",
];

/// Each part of a crate, and the parts that its files name.
fn edges(crate_folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let (src, mut edges) = (crate_folder.join("src"), BTreeMap::new());
    for file in super::sources().into_iter().filter(|file| file.starts_with(&src)) {
        let part = file.strip_prefix(&src).unwrap().components().next().unwrap();
        let part = part.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let named = named(&fs::read_to_string(&file).unwrap());
        edges.entry(part).or_insert_with(BTreeSet::new).extend(named);
    }
    edges
}

/// What stands behind `crate::`, also in groups.
fn named(text: &str) -> Vec<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join(" ");
    let mut named = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let group = match rest.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default(),
            None => rest,
        };
        let several = rest.starts_with('{');
        for part in group.split(',').take(if several { usize::MAX } else { 1 }) {
            let word: String = part.trim().chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            named.extend((!word.is_empty()).then_some(word));
        }
    }
    named
}

/// What goes against the order.
fn against(order: &[&str], edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let place = |part: &str| order.iter().position(|known| *known == part);
    let mut wrong = Vec::new();
    for (part, named) in edges {
        for other in named {
            if let (Some(own), Some(other_place)) = (place(part), place(other))
                && other_place > own
            {
                wrong.push(format!("{part} names {other}"));
            }
        }
    }
    wrong
}

#[test]
fn foundations_folders_are_layers() {
    let edges = edges(&root().join("services/foundation"));
    let parts: Vec<_> = edges.keys().filter(|part| *part != "lib").map(String::as_str).collect();
    let mut layers = FOUNDATION.to_vec();
    layers.sort_unstable();
    assert_eq!(parts, layers, "a folder that is no layer");
    assert_eq!(against(&FOUNDATION, &edges), [""; 0]);
}

#[test]
fn a_services_parts_know_each_other_in_one_direction() {
    for service in NAMES {
        let edges = edges(&root().join(format!("services/{service}")));
        for part in edges.keys().filter(|part| *part != "lib") {
            assert!(SERVICE.contains(&part.as_str()), "{service} has a part of its own: {part}");
        }
        assert_eq!(against(&SERVICE, &edges), [""; 0], "{service}");
    }
}

#[test]
fn what_goes_against_the_layers_is_found() {
    let text = "use crate::{domain, error};\nuse crate::wire::event as wire;\n// crate::rpc\n";
    assert_eq!(named(text), ["domain", "error", "wire"]);
    let edges = BTreeMap::from([("domain".to_owned(), named(text).into_iter().collect())]);
    assert_eq!(against(&SERVICE, &edges), ["domain names error", "domain names wire"]);
}

#[test]
fn files_of_a_folder_name_each_other_in_no_circle() {
    let crates = NAMES.iter().chain(&["foundation"]);
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
