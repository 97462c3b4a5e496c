//! What dispatch must be told.

use clap::Parser;
use foundation::config;

/// Dispatch: whistles, the ladder, the directory of units, policies.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    /// What every service needs.
    #[command(flatten)]
    pub service: config::Service,
}
