//! What residents must be told.

use clap::Parser;
use foundation::base::config;

/// Residents: who lives where.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    /// What every service needs.
    #[command(flatten)]
    pub service: config::Service,
}
