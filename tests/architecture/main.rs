//! The map, tested: what the READMEs say of the code is so.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod contract;
mod layers;
mod sql;

use std::fs;
use std::path::{Path, PathBuf};

use proto::SERVICES;
use proto::TOPOLOGY;
use proto::access::{ACCESS, Relation, Role};

/// What a reader finds in every service.
const FILES: [&str; 10] = [
    "lib.rs",
    "config.rs",
    "domain.rs",
    "operations.rs",
    "announcements.rs",
    "rpc.rs",
    "store.rs",
    "views.rs",
    "wire.rs",
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
fn files_and_functions_stay_small() {
    let mut large = Vec::new();
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        if lines.len() > 400 {
            large.push(format!("{} has {} lines: split it by noun", path.display(), lines.len()));
        }
        for (start, line) in lines.iter().enumerate().filter(|(_, line)| is_function(line) && !line.ends_with(';')) {
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
fn the_topology_is_the_checked_in_text_and_what_the_services_really_subscribe_to() {
    let mut text = String::new();
    for topic in TOPOLOGY {
        let consumers = if topic.consumers.is_empty() { "(nobody yet)".into() } else { topic.consumers.join(", ") };
        text.push_str(&format!("{} publishes {} to {consumers}\n", topic.publisher(), topic.subject));
    }
    assert_eq!(text, read("tests/topology.txt"));
    let routes = [grievances::routes(), dispatch::routes(), notifications::routes(), oversight::routes()];
    for consumer in SERVICES {
        let mut given: Vec<_> =
            TOPOLOGY.iter().filter(|topic| topic.consumers.contains(&consumer)).map(|topic| topic.subject).collect();
        given.sort_unstable();
        let own = routes.iter().find(|routes| routes.consumer == consumer);
        assert_eq!(own.map(|routes| routes.subjects().collect::<Vec<_>>()).unwrap_or_default(), given, "{consumer}");
    }
}

#[test]
fn nats_lets_every_service_publish_its_own_events_and_hints_and_nothing_else() {
    let users = read("deploy/nats/users.conf");
    for service in SERVICES {
        let own = users.split("user: ").find(|user| user.starts_with(&format!("{service},"))).unwrap();
        assert!(own.contains(&format!("\"haiqu.{service}.>\", \"haiqu-hint.{service}\"")), "{service}");
        assert!(own.contains(&format!("subscribe: [\"_INBOX.>\", \"haiqu-hint.{service}\"]")), "{service}");
        let others = SERVICES.iter().filter(|other| **other != service);
        others.for_each(|other| assert!(!own.contains(&format!("haiqu.{other}.")), "{service} speaks for {other}"));
    }
}

#[test]
fn every_service_stands_in_the_readme_and_the_readme_stays_short() {
    let readme = read("README.md");
    assert!(readme.lines().count() < 150, "the README has {} lines", readme.lines().count());
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
