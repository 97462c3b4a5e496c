//! The one binary: `haiqu <service>` serves one, `haiqu migrate <service>` brings its database up to date, `haiqu dead-letters`
//! looks after events that could not be applied. Nothing but a match.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use foundation::BoxFuture;
use foundation::base::config;
use foundation::data::Schema;
use foundation::data::schema;
use foundation::log::dead_letters;
use secrecy::SecretString;

/// 海区E家 · 吹哨答卷: one service of it, or a job for one.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve residents; `haiqu residents --help` lists its settings.
    #[command(disable_help_flag = true)]
    Residents(Rest),
    /// Serve grievances; `haiqu grievances --help` lists its settings.
    #[command(disable_help_flag = true)]
    Grievances(Rest),
    /// Serve dispatch; `haiqu dispatch --help` lists its settings.
    #[command(disable_help_flag = true)]
    Dispatch(Rest),
    /// Serve notifications; `haiqu notifications --help` lists its settings.
    #[command(disable_help_flag = true)]
    Notifications(Rest),
    /// Serve oversight; `haiqu oversight --help` lists its settings.
    #[command(disable_help_flag = true)]
    Oversight(Rest),
    /// Bring a service's database to this program's schema.
    Migrate {
        /// Whose database.
        service: Service,
        #[command(flatten)]
        database: Database,
    },
    /// List, replay or discard events that a service could not apply.
    DeadLetters {
        #[command(subcommand)]
        action: dead_letters::Action,
        #[command(flatten)]
        database: Database,
    },
}

#[derive(clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<OsString>,
}

#[derive(clap::Args)]
struct Database {
    /// Postgres of the service, as a URL with user and password.
    #[arg(long, env = "HAIQU_DATABASE_URL", hide_env_values = true, global = true)]
    database_url: Option<SecretString>,
    /// A file that holds that URL.
    #[arg(long, env = "HAIQU_DATABASE_URL_FILE", global = true)]
    database_url_file: Option<std::path::PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Service {
    Residents,
    Grievances,
    Dispatch,
    Notifications,
    Oversight,
}

impl Service {
    fn schema(self) -> Schema {
        match self {
            Service::Residents => residents::SCHEMA,
            Service::Grievances => grievances::SCHEMA,
            Service::Dispatch => dispatch::SCHEMA,
            Service::Notifications => notifications::SCHEMA,
            Service::Oversight => oversight::SCHEMA,
        }
    }
}

impl Database {
    fn url(self) -> anyhow::Result<SecretString> {
        match (self.database_url, self.database_url_file) {
            (Some(url), _) => Ok(url),
            (None, Some(file)) => Ok(std::fs::read_to_string(file)?.trim_end().into()),
            (None, None) => anyhow::bail!(
                "say where the database is: --database-url, HAIQU_DATABASE_URL or HAIQU_DATABASE_URL_FILE"
            ),
        }
    }
}

/// Half the work of a service is making and dropping small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// A service waits for Postgres most of the time: one thread does it without waking another, and more work means more replicas.
// The ladder alone has another thread: it must be on time whatever else there is to do.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let ran = match Arguments::parse().command {
        Command::Residents(args) => residents::run(config::parse("haiqu residents", args.rest)),
        Command::Grievances(args) => grievances::run(config::parse("haiqu grievances", args.rest)),
        Command::Dispatch(args) => dispatch::run(config::parse("haiqu dispatch", args.rest)),
        Command::Notifications(args) => notifications::run(config::parse("haiqu notifications", args.rest)),
        Command::Oversight(args) => oversight::run(config::parse("haiqu oversight", args.rest)),
        Command::Migrate { service, database } => migrate(service, database),
        Command::DeadLetters { action, database } => dead_letters(action, database),
    };
    match ran.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is gone.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn migrate(service: Service, database: Database) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move { schema::migrate(&database.url()?, service.schema()).await })
}

fn dead_letters(action: dead_letters::Action, database: Database) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move { dead_letters::run(&database.url()?, action).await })
}
