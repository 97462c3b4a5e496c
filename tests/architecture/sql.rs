//! SQL: what writes stands in `store`, every column is named, every table and column explained, no migration is changed once it is out.

use std::fs;
use std::path::{Path, PathBuf};

use proto::SERVICES;
use sqlx::migrate::Migrator;

use super::{read, root, sources};

/// The statements in a file's text: what the macros and functions of sqlx are given.
fn writes(text: &str) -> bool {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_lowercase();
    ["insert into ", "\"update ", "(update ", " update ", "\nupdate ", "delete from ", "merge into ", "truncate "]
        .iter()
        .any(|word| code.replace("for update", "").contains(word))
}

fn of_services() -> impl Iterator<Item = (PathBuf, String)> {
    let folders = SERVICES.map(|name| root().join(format!("services/{name}/src")));
    let files = sources().into_iter().filter(move |file| folders.iter().any(|folder| file.starts_with(folder)));
    files.map(|file| {
        let text = fs::read_to_string(&file).unwrap();
        (file, text)
    })
}

fn in_store(file: &Path) -> bool {
    file.components().any(|part| part.as_os_str() == "store") || file.ends_with("store.rs")
}

#[test]
fn sql_that_writes_stands_in_the_store_and_views_only_read() {
    let strays: Vec<_> =
        of_services().filter(|(file, text)| writes(text) && !in_store(file)).map(|(file, _)| file).collect();
    assert!(strays.is_empty(), "{strays:#?}");
    assert!(writes("sqlx::query!(\"update message set x\")") && !writes("\"select 1 from message for update of m\""));
    assert!(writes("with one as (update message set x) select 1"));
}

#[test]
fn every_column_is_named() {
    let all = sources().into_iter().filter(|file| file.starts_with(root().join("services")));
    let wrong: Vec<_> =
        all.filter(|file| fs::read_to_string(file).unwrap().contains(concat!("select", " *"))).collect();
    assert!(wrong.is_empty(), "they read columns that another release adds: {wrong:#?}");
}

/// Migrations as they went out: a later change is a new file.
#[test]
fn no_migration_was_changed_since_it_went_out() {
    let of = |name: &str, migrator: &Migrator| {
        let lines = migrator.iter().map(|one| {
            let sum: String = one.checksum.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            format!("{name} {} {sum}\n", one.version)
        });
        lines.collect::<String>()
    };
    let services = [residents::SCHEMA, grievances::SCHEMA, dispatch::SCHEMA, notifications::SCHEMA, oversight::SCHEMA];
    let mut found = of("foundation", foundation::data::schema::foundation());
    found.extend(services.iter().map(|schema| of(schema.name, schema.migrations)));
    let kept = read("tests/migrations.txt");
    assert_eq!(found, kept, "add a migration instead of changing one that is out");
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
        let body = rest.split("\n)").next().unwrap();
        let lines = body.lines().filter(|line| line.starts_with("    ") && !line.starts_with("        "));
        let names = lines.filter_map(|line| line.split_whitespace().next());
        let columns = names.filter(|word| !matches!(*word, "primary" | "unique" | "check" | "foreign"));
        tables.push((name.to_owned(), columns.map(str::to_owned).collect()));
    }
    tables
}
