//! A private Postgres and a private NATS on free ports, or what the environment names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::process::{Process, Spec, free_port, signal, tail};
use crate::tools::{self, Tools};

/// Which servers to use instead of private ones.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Given {
    /// A Postgres server to use, as a URL of a superuser; a private one is started without.
    #[arg(long, env = "HAIQU_POSTGRES_URL", hide_env_values = true)]
    pub postgres_url: Option<String>,
    /// A NATS server to use, as a URL; a private one is started without.
    #[arg(long, env = "HAIQU_NATS_URL", hide_env_values = true)]
    pub nats_url: Option<String>,
    /// Empty folders for the private servers' data, which the servers' user may write; in the run's own folder without.
    #[arg(skip)]
    pub data: Data,
}

/// Where private servers keep their data.
#[derive(Debug, Clone, Default)]
pub struct Data {
    /// Postgres.
    pub postgres: Option<PathBuf>,
    /// NATS.
    pub nats: Option<PathBuf>,
    /// Environment of Postgres, beside ours.
    pub postgres_env: Vec<(String, String)>,
}

/// Both servers.
#[derive(Debug)]
pub struct Servers {
    /// Superuser's URL, without a database.
    pub postgres_url: String,
    /// NATS.
    pub nats_url: String,
    /// Everything of this run.
    pub folder: PathBuf,
    /// How the private Postgres is started, and it.
    pub postgres: Option<Server>,
    /// How the private NATS is started, and it.
    pub nats: Option<Server>,
}

/// A server that we started.
#[derive(Debug)]
pub struct Server {
    /// How it was started; starting it again finds its data.
    pub spec: Spec,
    /// Where its data is.
    pub data: PathBuf,
    /// It.
    pub process: Process,
    /// URL that answers when it is up.
    ready: String,
}

const NOBODY: (u32, u32) = (65534, 65534);

impl Servers {
    /// Starts what is not given.
    pub async fn start(given: &Given) -> anyhow::Result<Servers> {
        let folder = run_folder()?;
        let postgres = match &given.postgres_url {
            Some(url) => (url.trim_end_matches('/').to_owned(), None),
            None => start_postgres(&folder, &given.data, &tools::install().await?).await?,
        };
        let nats = match &given.nats_url {
            Some(url) => (url.clone(), None),
            None => start_nats(&folder, given.data.nats.clone(), &tools::install().await?).await?,
        };
        Ok(Servers { postgres_url: postgres.0, nats_url: nats.0, folder, postgres: postgres.1, nats: nats.1 })
    }

    /// Stops what was started, and removes its data.
    pub async fn stop(self) {
        for server in [self.nats, self.postgres].into_iter().flatten() {
            server.process.stop().await;
            // A folder that cannot be removed now is removed by the next run.
            let _ = std::fs::remove_dir_all(&server.data);
        }
    }

    /// A connection as superuser.
    pub async fn superuser(&self, database: &str) -> anyhow::Result<PgConnection> {
        let options = PgConnectOptions::from_str(&self.postgres_url)?.database(database);
        Ok(PgConnection::connect_with(&options).await?)
    }

    /// Where Postgres and NATS listen.
    pub fn addresses(&self) -> anyhow::Result<[SocketAddr; 2]> {
        Ok([address(&self.postgres_url)?, address(&self.nats_url)?])
    }

    /// The URL of a role in its database.
    pub fn url(&self, role: &str, password: &str, database: &str) -> anyhow::Result<String> {
        let options = PgConnectOptions::from_str(&self.postgres_url)?;
        Ok(format!("postgres://{role}:{password}@{}:{}/{database}", options.get_host(), options.get_port()))
    }
}

/// A standby of the private Postgres, which waits for it with every commit from now on.
pub async fn synchronous_standby(servers: &Servers) -> anyhow::Result<Server> {
    let (tools, port) = (tools::install().await?, free_port()?);
    let data = servers.folder.join("standby");
    let mut copy = Command::new(tools.postgres.join("pg_basebackup"));
    let primary = format!("{}/postgres?application_name=standby", servers.postgres_url);
    copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--dbname", &primary, "--pgdata"]).arg(&data);
    let user = tools::is_root().then_some(NOBODY);
    if let Some((user, group)) = user {
        copy.uid(user).gid(group);
    }
    tools::run(copy.current_dir("/"), "pg_basebackup").await?;
    let spec = Spec {
        name: "the standby".into(),
        program: tools.postgres.join("postgres"),
        args: settings(&data, port),
        env: Vec::new(),
        log: servers.folder.join("logs/standby.log"),
        signal: "INT",
        user,
    };
    let process = spec.start().await?;
    let url = servers.postgres_url.replace(&address(&servers.postgres_url)?.to_string(), &format!("127.0.0.1:{port}"));
    let standby = Server { spec, data, process, ready: format!("{url}/postgres") };
    standby.ready().await?;
    let mut superuser = servers.superuser("postgres").await?;
    for statement in ["alter system set synchronous_standby_names = 'standby'", "select pg_reload_conf()"] {
        execute(&mut superuser, statement.into()).await?;
    }
    Ok(standby)
}

/// Host and port of a URL.
pub fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let url = reqwest::Url::parse(url)?;
    let found = url.socket_addrs(|| None)?.into_iter().next();
    found.with_context(|| format!("{url} names no address"))
}

/// A folder for this run; those of runs that are gone are removed.
fn run_folder() -> anyhow::Result<PathBuf> {
    let base = tools::base()?;
    for entry in std::fs::read_dir(&base)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("run-").and_then(|rest| rest.split('-').next().map(str::to_owned));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) && Path::new("/proc/self").exists() {
            // Somebody else may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let folder = base.join(format!("run-{}-{:08x}", std::process::id(), rand::random::<u32>()));
    std::fs::create_dir_all(folder.join("logs"))?;
    if tools::is_root() {
        std::os::unix::fs::chown(&folder, Some(NOBODY.0), Some(NOBODY.1))?;
        std::os::unix::fs::chown(folder.join("logs"), Some(NOBODY.0), Some(NOBODY.1))?;
    }
    Ok(folder)
}

async fn start_postgres(folder: &Path, given: &Data, tools: &Tools) -> anyhow::Result<(String, Option<Server>)> {
    let data = given.postgres.clone().unwrap_or(folder.join("postgres"));
    let password = format!("{:032x}", rand::random::<u128>());
    let password_file = folder.join("password");
    std::fs::write(&password_file, &password)?;
    let mut initdb = Command::new(tools.postgres.join("initdb"));
    initdb.arg("--pgdata").arg(&data).arg("--pwfile").arg(&password_file).current_dir("/");
    initdb.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--no-sync", "--no-instructions"]);
    initdb.args(["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C.UTF-8"]);
    let user = tools::is_root().then_some(NOBODY);
    if let Some((user, group)) = user {
        std::os::unix::fs::chown(&password_file, Some(user), Some(group))?;
        initdb.uid(user).gid(group);
    }
    tools::run(&mut initdb, "initdb").await?;
    std::fs::remove_file(&password_file)?;
    let port = free_port()?;
    let spec = Spec {
        name: "Postgres".into(),
        program: tools.postgres.join("postgres"),
        args: settings(&data, port),
        env: given.postgres_env.clone(),
        log: folder.join("logs/postgres.log"),
        signal: "INT",
        user,
    };
    let process = spec.start().await?;
    let url = format!("postgres://postgres:{password}@127.0.0.1:{port}");
    let server = Server { spec, data, process, ready: format!("{url}/postgres") };
    server.ready().await?;
    Ok((url, Some(server)))
}

fn settings(data: &Path, port: u16) -> Vec<String> {
    let mut args = vec!["-D".to_owned(), data.display().to_string(), "-p".to_owned(), port.to_string()];
    let settings = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=400",
        "track_commit_timestamp=on",
        // As a server with memory of its own has by itself.
        "wal_buffers=16MB",
        "shared_preload_libraries=pg_stat_statements",
        "log_lock_waits=on",
        // Tables that have just been made grow fast here: plans made for empty ones must not be kept for a minute.
        "autovacuum_naptime=10s",
    ];
    args.extend(settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]));
    args
}

async fn start_nats(folder: &Path, data: Option<PathBuf>, tools: &Tools) -> anyhow::Result<(String, Option<Server>)> {
    let (data, port) = (data.unwrap_or(folder.join("nats")), free_port()?);
    let args = ["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd", &data.display().to_string()];
    let spec = Spec {
        name: "NATS".into(),
        program: tools.nats.clone(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        env: Vec::new(),
        log: folder.join("logs/nats.log"),
        signal: "TERM",
        user: tools::is_root().then_some(NOBODY),
    };
    let process = spec.start().await?;
    let url = format!("nats://127.0.0.1:{port}");
    let server = Server { spec, data, process, ready: url.clone() };
    server.ready().await?;
    Ok((url, Some(server)))
}

impl Server {
    /// Listens where the other did, which is gone: clients find it there.
    pub async fn take_over(self, lost: &Server) -> anyhow::Result<Server> {
        self.process.stop().await;
        let spec = Spec { args: [&self.spec.args[..2], &lost.spec.args[2..]].concat(), ..self.spec };
        let process = spec.start().await?;
        let server = Server { spec, data: self.data, process, ready: lost.ready.clone() };
        server.ready().await?;
        Ok(server)
    }

    /// Kills it with -9 and waits until it is gone.
    pub async fn kill(&self) -> anyhow::Result<()> {
        signal("KILL", self.process.pid).await;
        self.process.ended().await.map(|_| ())
    }

    /// Starts it again on its data. What is left of the one before may have to end first.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        for _ in 0..100 {
            self.process = self.spec.start().await?;
            let died = tokio::time::timeout(Duration::from_millis(300), self.process.ended()).await;
            if died.is_err() {
                return self.ready().await;
            }
        }
        bail!("{} does not start again:\n{}", self.spec.name, tail(&self.spec.log))
    }

    async fn ready(&self) -> anyhow::Result<()> {
        for _ in 0..600 {
            let answers = match self.ready.strip_prefix("nats://") {
                Some(address) => TcpStream::connect(address).await.is_ok(),
                None => PgConnection::connect(&self.ready).await.is_ok(),
            };
            if answers {
                return Ok(());
            }
            crate::pause(Duration::from_millis(50)).await;
        }
        bail!("{} did not start within 30 s:\n{}", self.spec.name, tail(&self.spec.log))
    }
}

/// Lets the private servers' user write a folder.
pub fn give_to_server(folder: &Path) -> anyhow::Result<()> {
    if tools::is_root() {
        std::os::unix::fs::chown(folder, Some(NOBODY.0), Some(NOBODY.1))?;
    }
    Ok(())
}

/// A database for one test or one service, owned by a role of its own with the limits that every role has.
pub async fn create_database(servers: &Servers, name: &str, password: &str) -> anyhow::Result<()> {
    let mut connection = servers.superuser("postgres").await?;
    for statement in [
        format!("create role {name} login password '{password}'"),
        format!("alter role {name} set idle_in_transaction_session_timeout = '5s'"),
        format!("alter role {name} set transaction_timeout = '15s'"),
        // What was given up may run on in the server for a while: no service takes up every connection.
        format!("alter role {name} connection limit 100"),
        format!("create database {name} owner {name}"),
    ] {
        execute(&mut connection, statement).await.with_context(|| format!("cannot make the database {name}"))?;
    }
    Ok(connection.close().await?)
}

/// Runs a statement that no macro can check: it names what is being made, in our own words.
pub async fn execute(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(connection).await.map(|_| ())
}
