//! `cargo prepare`: checks every query of every crate against its own schema and writes what was found to its `.sqlx`, by
//! which everybody else builds without a database. `--check` says whether that is fresh.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use proto::SERVICES;
use tokio::process::Command;

use crate::progress;
use crate::servers::{Given, Servers, execute};

/// Crates with queries: foundation, and every service.
fn crates() -> impl Iterator<Item = &'static str> {
    std::iter::once("foundation").chain(SERVICES)
}

/// What to do.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Change nothing; fail when something is stale.
    #[arg(long)]
    pub check: bool,
    /// Servers.
    #[command(flatten)]
    pub given: Given,
}

/// True when everything is fresh.
pub async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let servers = Servers::start(&Given { nats_url: Some("unused".into()), ..arguments.given }).await?;
    let checked = all(&servers, arguments.check).await;
    servers.stop().await;
    checked
}

async fn all(servers: &Servers, check: bool) -> anyhow::Result<bool> {
    let services = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../services");
    let environment = databases(servers, &services).await?;
    let (mut fresh, mut shared) = (true, Queries::new());
    for name in crates() {
        progress(&format!("checking the queries of {name}"));
        let found = queries(&services.join(name), &environment, &servers.folder.join(format!("sqlx-{name}"))).await?;
        // Where the compiler took foundation along, its queries were written here once more.
        let own: Queries = read(&found)?.into_iter().filter(|(file, _)| !shared.contains_key(file)).collect();
        fresh &= settle(&own, &services.join(name).join(".sqlx"), check)?;
        if name == "foundation" {
            shared = own;
        }
    }
    Ok(fresh)
}

/// A database of each crate's schema; the environment in which the crates are compiled against them.
pub async fn databases(servers: &Servers, services: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut environment = Vec::new();
    for name in crates() {
        let database = format!("prepare_{name}_{:08x}", rand::random::<u32>());
        migrate(servers, &database, services, name).await?;
        let url = format!("{}/{database}", servers.postgres_url);
        environment.push((format!("{}_DATABASE_URL", name.to_uppercase()), url));
    }
    Ok(environment)
}

/// Runs the migrations as plain files: this program must build while a query does not.
async fn migrate(servers: &Servers, database: &str, services: &Path, name: &str) -> anyhow::Result<()> {
    let mut connection = servers.superuser("postgres").await?;
    execute(&mut connection, format!("create database {database}")).await?;
    let mut connection = servers.superuser(database).await?;
    let own = (name != "foundation").then(|| services.join(name));
    for folder in std::iter::once(services.join("foundation")).chain(own) {
        let mut files: Vec<_> =
            std::fs::read_dir(folder.join("migrations"))?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let statements = std::fs::read_to_string(&file)?;
            execute(&mut connection, statements).await.with_context(|| file.display().to_string())?;
        }
    }
    Ok(())
}

/// Compiles the crate against the databases, which writes one file a query.
async fn queries(folder: &Path, environment: &[(String, String)], into: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(into)?;
    let into = into.canonicalize()?;
    // Macros run only where the compiler does.
    let lib = folder.join("src/lib.rs");
    std::fs::File::options()
        .append(true)
        .open(&lib)?
        .set_modified(std::time::SystemTime::UNIX_EPOCH.max(filetime()))?;
    let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    cargo.args(["check", "--quiet", "--lib"]).current_dir(folder);
    cargo.arg("--target-dir").arg(crate::binaries()?.parent().context("no target folder")?);
    cargo.envs(environment.iter().cloned()).env("SQLX_OFFLINE", "false").env("SQLX_OFFLINE_DIR", &into);
    if !cargo.status().await?.success() {
        bail!("{} does not build against its schema", folder.display());
    }
    Ok(into)
}

fn filetime() -> std::time::SystemTime {
    crate::now().into()
}

/// Files by name.
type Queries = BTreeMap<OsString, Vec<u8>>;

fn read(folder: &Path) -> anyhow::Result<Queries> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| Ok((entry.file_name(), std::fs::read(entry.path())?))).collect()
}

/// Compares what was found with what is checked in; makes it so unless only asked.
fn settle(found: &Queries, kept: &Path, check: bool) -> anyhow::Result<bool> {
    if *found == read(kept)? {
        return Ok(true);
    }
    if check {
        eprintln!("{} is stale: run `cargo prepare` and commit what it writes", kept.display());
        return Ok(false);
    }
    if kept.exists() {
        std::fs::remove_dir_all(kept)?;
    }
    std::fs::create_dir_all(kept)?;
    for (name, content) in found {
        std::fs::write(kept.join(name), content)?;
    }
    Ok(true)
}
