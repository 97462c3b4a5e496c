//! What oversight must be told.

use clap::Parser;
use foundation::base::config;
use secrecy::SecretString;

/// Oversight: cases with their timelines, pushed to 阳光+.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    /// What every service needs.
    #[command(flatten)]
    pub service: config::Service,
    /// 阳光+: base URL of its interface; nothing is pushed anywhere else.
    #[arg(long, env = "HAIQU_PLATFORM_URL")]
    pub platform_url: String,
    /// Key that 阳光+ knows us by.
    #[arg(long, env = "HAIQU_PLATFORM_KEY", hide_env_values = true)]
    pub platform_key: SecretString,
}
