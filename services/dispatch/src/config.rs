//! What dispatch must be told.

use clap::Parser;
use foundation::base::config;

/// Dispatch: whistles, the ladder, the directory of units, policies.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    /// What every service needs.
    #[command(flatten)]
    pub service: config::Service,
    /// Run the ladder although Postgres has no synchronous standby: a lost server then loses what it acknowledged last.
    #[arg(long, env = "HAIQU_WITHOUT_STANDBY")]
    pub without_standby: bool,
}
