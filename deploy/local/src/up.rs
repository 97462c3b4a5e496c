//! `cargo up`: everything stays up until Ctrl-C; `run.json` tells where everything is.

use std::path::Path;
use std::time::Duration;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::issuer::Person;
use crate::people::{COMMUNITY, DISTRICT, STREET};
use crate::progress;
use crate::scenario::{Play, heating};
use crate::servers::{Given, Server};
use crate::stack::{Options, Stack};

/// How to run it.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// How long an hour of the ladder lasts; loaded as a policy version. Natural hours without.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub hour: Option<Duration>,
    /// Processes of each service.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub replicas: u8,
    /// Servers.
    #[command(flatten)]
    pub given: Given,
}

/// Runs until Ctrl-C, or until something keeps dying: then it is false.
pub async fn run(arguments: Arguments) -> anyhow::Result<bool> {
    let options = Options { given: arguments.given, replicas: arguments.replicas.into(), ..Options::default() };
    let stack = Stack::start(&options).await?;
    if let Some(hour) = arguments.hour {
        Play::new(&stack)?.load_policy(TimeDelta::from_std(hour)?).await?;
    }
    let tokens = tokens(&stack)?;
    let file = crate::binaries()?.join("run.json");
    print(&write(&stack, &tokens, &file)?);
    progress(&format!("everything is up, as {} says; Ctrl-C stops it", file.display()));
    let reason = tokio::select! {
        _ = tokio::signal::ctrl_c() => None,
        reason = stack.failed() => Some(reason),
        // A process that died has another pid when it is up again.
        error = keep_fresh(&stack, &tokens, &file) => Some(error.to_string()),
    };
    if let Some(reason) = &reason {
        eprintln!("{reason}");
    }
    progress("stopping");
    stack.stop().await;
    Ok(reason.is_none())
}

fn write(stack: &Stack, tokens: &Value, file: &Path) -> anyhow::Result<String> {
    let description = serde_json::to_string_pretty(&describe(stack, tokens))?;
    std::fs::write(file, &description)?;
    Ok(description)
}

async fn keep_fresh(stack: &Stack, tokens: &Value, file: &Path) -> anyhow::Error {
    let mut written = pids(stack);
    loop {
        crate::pause(Duration::from_millis(200)).await;
        let now = pids(stack);
        if now != written
            && let Err(error) = write(stack, tokens, file)
        {
            return error;
        }
        written = now;
    }
}

fn pids(stack: &Stack) -> Vec<u32> {
    stack.replicas.iter().map(|replica| replica.pid()).collect()
}

#[expect(clippy::print_stdout, reason = "this is what the command is for")]
fn print(text: &str) {
    println!("{text}");
}

fn describe(stack: &Stack, tokens: &Value) -> Value {
    let processes = stack.replicas.iter().zip(pids(stack)).map(|(replica, pid)| {
        json!({ "service": replica.service, "address": replica.address, "pid": pid, "log": replica.log })
    });
    let data = |server: &Option<Server>| {
        server.as_ref().map(|server| json!({ "data": server.data, "pid": server.process.pid }))
    };
    json!({
        "processes": processes.collect::<Vec<_>>(),
        "postgres": { "url": stack.servers.postgres_url, "server": data(&stack.servers.postgres), "databases": stack.databases },
        "nats": { "url": stack.servers.nats_url, "server": data(&stack.servers.nats) },
        "issuer": stack.issuer.url,
        "stand_ins": { "sms_gateway": stack.gateway.url, "platform": stack.platform.url, "logs": stack.ledger.files },
        "tokens": tokens,
    })
}

/// A development token for every role, in the worked example's places.
fn tokens(stack: &Stack) -> anyhow::Result<Value> {
    let mut tokens = serde_json::Map::new();
    for (role, area) in [
        ("resident", Some(COMMUNITY)),
        ("grid_worker", Some(COMMUNITY)),
        ("community", Some(COMMUNITY)),
        ("street", Some(STREET)),
        ("unit", None),
        ("leader", Some(DISTRICT)),
        ("centre", Some(DISTRICT)),
        ("hotline", None),
        ("oversight", None),
        ("merchant", None),
        ("ops", None),
        ("service", None),
    ] {
        let person = Person {
            sub: format!("development-{role}"),
            roles: vec![role.to_owned()],
            area: area.map(str::to_owned),
            unit: (role == "unit").then(|| "0198c0de-0000-7000-8000-000000000001".to_owned()),
            matters: if role == "leader" { vec![heating().code.to_owned()] } else { Vec::new() },
        };
        tokens.insert(role.to_owned(), stack.issuer.token(&person)?.into());
    }
    Ok(tokens.into())
}
