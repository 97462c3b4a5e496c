//! The map, tested: what the README says of the code is so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::path::{Path, PathBuf};

use proto::TOPOLOGY;
use proto::access::{ACCESS, Relation, Role};

const SERVICES: [&str; 5] = ["residents", "grievances", "dispatch", "notifications", "oversight"];
const FILES: [&str; 11] = [
    "lib.rs",
    "config.rs",
    "domain.rs",
    "operations.rs",
    "announcements.rs",
    "rpc.rs",
    "subscriptions.rs",
    "schedule.rs",
    "store.rs",
    "views.rs",
    "error.rs",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file of ours.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    found
}

#[test]
fn services_depend_on_foundation_and_proto_and_never_on_each_other() {
    for service in SERVICES {
        let manifest = read(format!("services/{service}/Cargo.toml"));
        for other in SERVICES.iter().filter(|other| **other != service) {
            assert!(!manifest.contains(&format!("\n{other}.workspace")), "{service} depends on {other}");
        }
    }
}

#[test]
fn every_service_has_the_same_files() {
    for service in SERVICES {
        for file in FILES {
            assert!(root().join(format!("services/{service}/src/{file}")).exists(), "{service} has no {file}");
        }
        assert!(
            read(format!("services/{service}/README.md")).lines().count() <= 60,
            "{service}'s README is over 60 lines"
        );
    }
}

#[test]
fn the_domain_is_pure() {
    for path in sources() {
        let shown = path.strip_prefix(root()).unwrap().display().to_string();
        if !shown.contains("/src/domain") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for banned in ["sqlx", "tonic", "tokio", "async_nats", "proto::", "async fn", "clock::now", "id::new"] {
            assert!(!text.contains(banned), "{shown} speaks of {banned}");
        }
    }
}

#[test]
fn files_and_functions_stay_small() {
    let mut large = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        if lines.len() > 400 {
            large.push(format!("{} has {} lines: split it by noun", path.display(), lines.len()));
        }
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| is_function(line)) {
            let indent = line.len() - line.trim_start().len();
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[start..].iter().position(|line| *line == end).unwrap_or(0);
            if length > 40 {
                large.push(format!("{}:{} is a function of {length} lines", path.display(), start + 1));
            }
        }
    }
    assert!(large.is_empty(), "{large:#?}");
}

fn is_function(line: &str) -> bool {
    let words: Vec<_> = line
        .split_whitespace()
        .take_while(|word| !word.contains('(') || *word == "pub(crate)" || *word == "pub(super)")
        .collect();
    let before =
        words.iter().all(|word| matches!(*word, "pub" | "pub(crate)" | "pub(super)" | "async" | "const" | "fn"));
    before && words.contains(&"fn")
}

#[test]
fn the_topology_is_the_checked_in_text_and_what_the_services_really_hear() {
    let mut text = String::new();
    for topic in TOPOLOGY {
        let hearers = if topic.consumers.is_empty() { "(nobody yet)".into() } else { topic.consumers.join(", ") };
        text.push_str(&format!("{} says {} to {hearers}\n", topic.publisher(), topic.subject));
    }
    assert_eq!(text, read("tests/topology.txt"));
    let routes =
        [residents::routes(), grievances::routes(), dispatch::routes(), notifications::routes(), oversight::routes()];
    for routes in routes {
        let mut heard: Vec<_> = TOPOLOGY
            .iter()
            .filter(|topic| topic.consumers.contains(&routes.consumer))
            .map(|topic| topic.subject)
            .collect();
        heard.sort_unstable();
        assert_eq!(routes.subjects().collect::<Vec<_>>(), heard, "{}", routes.consumer);
    }
}

#[test]
fn every_subject_and_every_service_stands_in_the_readme() {
    let readme = read("README.md");
    for topic in TOPOLOGY {
        assert!(readme.contains(topic.subject), "the README does not name {}", topic.subject);
    }
    for service in SERVICES {
        assert!(readme.contains(&format!("`{service}`")), "the README does not name {service}");
    }
}

#[test]
fn every_method_has_a_row_in_the_table_and_every_row_a_method() {
    let pool = prost_reflect::DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let methods: Vec<_> = pool
        .services()
        .filter(|service| service.full_name().starts_with("haiqu."))
        .flat_map(|service| {
            service.methods().map(|method| format!("/{}/{}", service.full_name(), method.name())).collect::<Vec<_>>()
        })
        .collect();
    for method in &methods {
        assert!(proto::access::find(method).is_some(), "{method} has no row: nobody may call it");
    }
    for row in ACCESS {
        assert!(methods.iter().any(|method| method == row.rpc), "{} is no method", row.rpc);
        assert_eq!(ACCESS.iter().filter(|other| other.rpc == row.rpc).count(), 1, "{} has two rows", row.rpc);
    }
}

#[test]
fn a_workload_is_always_a_service() {
    let grants = ACCESS.iter().filter_map(|row| row.grants).flatten();
    for (role, relation) in grants {
        assert!(!matches!(relation, Relation::Workload(_)) || *role == Role::Service);
    }
}

#[test]
fn every_request_that_has_a_request_id_is_answered_once_only() {
    let pool = prost_reflect::DescriptorPool::decode(proto::DESCRIPTORS).unwrap();
    let requests = read("proto/src/requests.rs");
    for message in pool.all_messages().filter(|message| message.get_field_by_name("request_id").is_some()) {
        let name = message.name();
        if message.package_name().starts_with("haiqu.") {
            assert!(requests.contains(name), "{name} is not in proto/src/requests.rs");
        }
    }
}

#[test]
fn every_table_and_column_has_a_comment() {
    for owner in SERVICES.iter().chain(&["foundation"]) {
        let folder = root().join(format!("services/{owner}/migrations"));
        for file in fs::read_dir(folder).unwrap().flatten() {
            let text = fs::read_to_string(file.path()).unwrap();
            for (table, columns) in tables(&text) {
                assert!(
                    text.contains(&format!("comment on table {table} is")),
                    "{owner}: table {table} has no comment"
                );
                for column in columns {
                    let comment = format!("comment on column {table}.{column} is");
                    assert!(text.contains(&comment), "{owner}: column {table}.{column} has no comment");
                }
            }
        }
    }
}

/// Names of tables and their columns, as our migrations write them: one column a line.
fn tables(text: &str) -> Vec<(String, Vec<String>)> {
    let mut tables = Vec::new();
    for part in text.split("create table ").skip(1) {
        let (name, rest) = part.split_once(" (").unwrap();
        let body = rest.split("\n);").next().unwrap();
        let lines = body.lines().filter(|line| line.starts_with("    ") && !line.starts_with("        "));
        let names = lines.filter_map(|line| line.split_whitespace().next());
        let columns = names.filter(|word| !matches!(*word, "primary" | "unique" | "check" | "foreign"));
        tables.push((name.to_owned(), columns.map(str::to_owned).collect()));
    }
    tables
}
