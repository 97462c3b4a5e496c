//! Configuration: clap for flags and environment. Every variable `X` may instead be given as `X_FILE`, naming a file that
//! holds the value (how Kubernetes mounts secrets), and every mistake is reported at once, not one a start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::net::SocketAddr;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Args, Command, CommandFactory, FromArgMatches};
use secrecy::SecretString;

/// What every service needs to know.
#[derive(Debug, Clone, Args)]
pub struct Service {
    /// Address to serve gRPC, gRPC-Web and JSON on.
    #[arg(long, env = "HAIQU_LISTEN", default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// Postgres of this service, as a URL with user and password.
    #[arg(long, env = "HAIQU_DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// NATS server, as a URL; with user and password where it asks for them.
    #[arg(long, env = "HAIQU_NATS_URL", hide_env_values = true)]
    pub nats_url: SecretString,
    /// OpenID Connect issuer whose tokens are accepted: https, or http on a loopback address.
    #[arg(long, env = "HAIQU_ISSUER", value_parser = issuer)]
    pub issuer: String,
    /// Audience that a token must name.
    #[arg(long, env = "HAIQU_AUDIENCE", default_value = "haiqu")]
    pub audience: String,
    /// Secret of this service at the issuer (client credentials); its client id is the service's name.
    #[arg(long, env = "HAIQU_CLIENT_SECRET", hide_env_values = true)]
    pub client_secret: SecretString,
    /// Where the other services are: `dispatch=http://dispatch:50051,grievances=http://…`; several replicas of one are
    /// separated by `|`.
    #[arg(long, env = "HAIQU_PEERS", value_parser = peers, default_value = "")]
    pub peers: Peers,
    /// Key of this deployment that cursors of feeds are sealed with, the same for all services and replicas; at least 32 characters.
    #[arg(long, env = "HAIQU_CURSOR_KEY", hide_env_values = true, value_parser = key)]
    pub cursor_key: SecretString,
    /// Serve gRPC reflection. Not for production.
    #[arg(long, env = "HAIQU_REFLECTION")]
    pub reflection: bool,
    /// OTLP endpoint for traces, metrics and logs; none of them is sent without one.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// Which log lines to write, as tracing's filter directives.
    #[arg(long, env = "HAIQU_LOG", default_value = "info")]
    pub log: String,
}

/// Addresses of the other services by name.
#[derive(Debug, Clone, Default)]
pub struct Peers(pub BTreeMap<String, String>);

fn peers(text: &str) -> Result<Peers, String> {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    let parsed = pairs.map(|pair| match pair.split_once('=') {
        Some((name, url)) if url.starts_with("http://") || url.starts_with("https://") => Ok((name.into(), url.into())),
        Some(_) | None => Err(format!("`{pair}` is not of the form service=http://host:port")),
    });
    parsed.collect::<Result<_, _>>().map(Peers)
}

/// A key that is long enough to be one.
pub fn key(text: &str) -> Result<SecretString, String> {
    if text.len() >= 32 { Ok(text.into()) } else { Err("must be at least 32 characters".into()) }
}

fn issuer(text: &str) -> Result<String, String> {
    let loopback = ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"];
    match text.starts_with("https://") || loopback.iter().any(|prefix| text.starts_with(prefix)) {
        true => Ok(text.trim_end_matches('/').into()),
        false => Err("must be an https URL (http only on a loopback address, for development)".into()),
    }
}

/// Parses a service's arguments, the environment and the files that it names. Prints what is wrong, all of it, and ends
/// the process with 2. `name` is how the command is called in messages.
pub fn parse<C: CommandFactory + FromArgMatches>(name: &'static str, args: Vec<OsString>) -> C {
    match from(name, args, environment) {
        Ok(config) => config,
        Err(Mistakes::Clap(error)) => error.exit(),
        Err(Mistakes::Several(messages)) => {
            for message in messages {
                // Nobody is left to tell when standard error is gone.
                let _ = writeln!(std::io::stderr(), "error: {message}");
            }
            std::process::exit(2)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What was wrong with the configuration.
#[derive(Debug)]
pub enum Mistakes {
    /// Help, version, or an argument that clap does not know.
    Clap(clap::Error),
    /// One line each.
    Several(Vec<String>),
}

/// Parses these arguments; `environment` answers where the `*_FILE` variables point.
pub fn from<C: CommandFactory + FromArgMatches>(
    name: &'static str,
    args: Vec<OsString>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<C, Mistakes> {
    let command = C::command().bin_name(name).args_override_self(true);
    let mut mistakes = Vec::new();
    let mut all = vec![OsString::from(name)];
    all.extend(command.get_arguments().filter_map(|arg| from_file(arg, &environment, &mut mistakes)));
    all.extend(args);
    let matches = collect(command, &all, &mut mistakes)?;
    match matches.filter(|_| mistakes.is_empty()) {
        Some(matches) => C::from_arg_matches(&matches).map_err(Mistakes::Clap),
        None => Err(Mistakes::Several(mistakes)),
    }
}

/// The flag that a `*_FILE` variable stands for; placed before the real flags, which override it.
fn from_file(arg: &Arg, environment: impl Fn(&str) -> Option<String>, mistakes: &mut Vec<String>) -> Option<OsString> {
    let variable = format!("{}_FILE", arg.get_env()?.to_str()?);
    let path = environment(&variable)?;
    match std::fs::read_to_string(&path) {
        Ok(value) => Some(format!("--{}={}", arg.get_long()?, value.trim_end()).into()),
        Err(error) => {
            mistakes.push(format!("{variable}: cannot read {path}: {error}"));
            None
        }
    }
}

/// Parses again and again, each time past the value that was wrong, to learn of them all.
fn collect(
    mut command: Command,
    args: &[OsString],
    mistakes: &mut Vec<String>,
) -> Result<Option<ArgMatches>, Mistakes> {
    for _ in 0..=command.get_arguments().count() {
        let error = match command.clone().try_get_matches_from(args) {
            Ok(matches) => return Ok(Some(matches)),
            Err(error) => error,
        };
        let wrong = match error.kind() {
            ErrorKind::ValueValidation | ErrorKind::InvalidValue => wrong_argument(&command, &error),
            ErrorKind::MissingRequiredArgument => None,
            _ => return Err(Mistakes::Clap(error)),
        };
        mistakes.push(message(&error));
        let Some(id) = wrong else { return Ok(None) };
        command = command.mut_arg(id, |arg| arg.value_parser(clap::builder::ValueParser::os_string()));
    }
    Ok(None)
}

fn wrong_argument(command: &Command, error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else { return None };
    let of =
        |arg: &&Arg| arg.get_long().is_some_and(|long| shown.split([' ', '=']).next() == Some(&format!("--{long}")));
    command.get_arguments().find(of).map(|arg| arg.get_id().to_string())
}

fn message(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let lines = text.lines().take_while(|line| !line.starts_with("Usage")).filter(|line| !line.is_empty());
    let text = lines.collect::<Vec<_>>().join(" ");
    text.trim_start_matches("error: ").replace(" For more information, try '--help'.", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Sample {
        #[arg(long, env = "SAMPLE_PORT")]
        port: u16,
        #[arg(long, env = "SAMPLE_COUNT")]
        count: u16,
        #[arg(long, env = "SAMPLE_SECRET")]
        secret: String,
    }

    fn args(list: &[&str]) -> Vec<OsString> {
        list.iter().map(OsString::from).collect()
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let Err(Mistakes::Several(mistakes)) = from::<Sample>("sample", args(&["--port", "x", "--count=-1"]), |_| None)
        else {
            panic!("accepted");
        };
        assert_eq!(mistakes.len(), 3, "{mistakes:?}");
        for (mistake, named) in mistakes.iter().zip(["--port", "--count", "--secret"]) {
            assert!(mistake.contains(named), "{mistake}");
        }
    }

    #[test]
    fn a_secret_is_read_from_the_file_that_the_environment_names() {
        let file = std::env::temp_dir().join(format!("secret-{}", crate::base::id::new()));
        std::fs::write(&file, "from-file\n").unwrap();
        let named = |name: &str| (name == "SAMPLE_SECRET_FILE").then(|| file.display().to_string());
        let config: Sample = from("sample", args(&["--port=1", "--count=2"]), named).unwrap();
        assert_eq!((config.port, config.count, config.secret.as_str()), (1, 2, "from-file"));
        let config: Sample = from("sample", args(&["--port=1", "--count=2", "--secret=flag"]), named).unwrap();
        assert_eq!(config.secret, "flag");
    }

    #[test]
    fn an_issuer_without_tls_is_accepted_on_loopback_only() {
        assert!(issuer("http://127.0.0.1:8080").is_ok());
        assert!(issuer("https://id.example").is_ok());
        assert!(issuer("http://id.example").is_err());
        assert!(issuer("http://127.0.0.1.example:80").is_err());
    }
}
