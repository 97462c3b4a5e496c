//! Programs that are broken on purpose, by which the judge itself is judged: a copy of this tree, a patch, a build of its own.
//! No such program is ever what `cargo demo` or an image runs, and no switch in the tree leads to one.
//!
//! To add a bug: a patch in `bugs/` that breaks one guard, a line in [`SEEDED`] with the fault that brings it to light.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use local::prepare;
use local::servers::{Given, Servers};
use local::tools::run;
use tokio::process::Command;

/// A guard that a patch takes away.
#[derive(Debug, Clone, Copy)]
pub struct Bug {
    /// In a few words.
    pub name: &'static str,
    /// What takes it away.
    pub patch: &'static str,
    /// The fault that brings it to light.
    pub fault: &'static str,
    /// The invariant that it breaks.
    pub breaks: &'static str,
}

/// The bugs that the judge must name.
pub const SEEDED: &[Bug] = &[
    // Without it an event that comes again is applied again, which does no harm: every effect has a name, and is there already. What
    // shows is an inbox that does not remember.
    bug("inbox-guard-off", include_str!("bugs/inbox-guard-off.patch"), "F18", "I9"),
    bug("done-before-commit", include_str!("bugs/done-before-commit.patch"), "F9", "I2"),
    bug("log-by-id", include_str!("bugs/log-by-id.patch"), "F0", "I2"),
    bug("catch-up-off", include_str!("bugs/catch-up-off.patch"), "F4", "I2"),
    bug("rung-uniqueness-dropped", include_str!("bugs/rung-uniqueness-dropped.patch"), "F0", "I2"),
];

/// Dies by itself at the points where a death is worst; the fault that needs it strikes by running it.
pub const FAIL_POINTS: Bug = bug("fail-points", include_str!("bugs/fail-points.patch"), "F1p", "");

const fn bug(name: &'static str, patch: &'static str, fault: &'static str, breaks: &'static str) -> Bug {
    Bug { name, patch, fault, breaks }
}

/// Builds the program with this patch; returns where it is.
pub async fn build(name: &str, patch: &str) -> anyhow::Result<PathBuf> {
    local::progress(&format!("building the program with {name}"));
    let binaries = local::binaries()?;
    let folder = binaries.parent().context("no target folder")?.join("bugs");
    let (tree, target) = (folder.join("tree"), folder.join("target"));
    let profile = binaries.file_name().context("no profile")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    copy(&source, &tree).await?;
    apply(&tree, patch).await.with_context(|| format!("{name} does not apply to this tree"))?;
    libraries(&binaries, &target.join(profile)).await?;
    // The next copy finds what the patch changed by its content.
    compile(&tree, &target).await.with_context(|| format!("the program does not build with {name}"))?;
    let built = folder.join(format!("haiqu-with-{name}"));
    std::fs::copy(target.join(profile).join("haiqu"), &built)?;
    Ok(built)
}

/// Libraries that are built already need not be built again. A folder of its own: cargo takes the copy's crates for this tree's, and
/// would give one the other's.
async fn libraries(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(to)?;
    for folder in ["deps", "build", ".fingerprint"] {
        run(Command::new("cp").arg("--archive").arg(from.join(folder)).arg(to), "cp").await?;
    }
    Ok(())
}

/// Makes the copy equal to the tree. What is equal already is not touched, so that it need not be compiled again.
async fn copy(source: &Path, tree: &Path) -> anyhow::Result<()> {
    let mut list = Command::new("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(source);
    let listed = list.output().await.context("cannot run git")?;
    anyhow::ensure!(listed.status.success(), "this is no checkout: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout)?;
    let wanted: BTreeSet<PathBuf> =
        names.split_terminator('\0').map(PathBuf::from).filter(|name| source.join(name).is_file()).collect();
    for name in &wanted {
        let (from, to) = (std::fs::read(source.join(name))?, tree.join(name));
        if std::fs::read(&to).ok().as_ref() != Some(&from) {
            std::fs::create_dir_all(to.parent().context("no folder")?)?;
            std::fs::write(&to, from)?;
        }
    }
    remove_others(tree, tree, &wanted)
}

fn remove_others(tree: &Path, folder: &Path, wanted: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(tree, &path, wanted)?;
        } else if !wanted.contains(path.strip_prefix(tree)?) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

async fn apply(tree: &Path, patch: &str) -> anyhow::Result<()> {
    let file = tree.with_extension("patch");
    std::fs::write(&file, patch)?;
    let mut git = Command::new("git");
    // The copy lies in the checkout, and is none.
    git.args(["apply", "--whitespace=nowarn"]).arg(&file).current_dir(tree);
    run(git.env("GIT_CEILING_DIRECTORIES", tree.parent().context("no folder")?), "git apply").await
}

/// Against real schemas: a patch may change queries and migrations.
async fn compile(tree: &Path, target: &Path) -> anyhow::Result<()> {
    let servers = Servers::start(&Given { nats_url: Some("nats://unused".into()), ..Given::default() }).await?;
    let compiled = async {
        let environment = prepare::databases(&servers, &tree.join("services")).await?;
        let mut cargo = Command::new(option_env!("CARGO").unwrap_or("cargo"));
        cargo.args(["build", "--quiet", "--package", "haiqu"]).current_dir(tree).arg("--target-dir").arg(target);
        let profile =
            local::binaries()?.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if profile != "debug" {
            cargo.args(["--profile", &profile]);
        }
        run(cargo.envs(environment).env("SQLX_OFFLINE", "false"), "cargo build").await
    };
    let compiled = compiled.await;
    servers.stop().await;
    compiled
}
