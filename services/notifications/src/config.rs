//! What notifications must be told.

use clap::Parser;
use foundation::base::config;
use secrecy::SecretString;

/// Notifications: reminders by SMS with their receipts, call tasks and call records, alarms.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    /// What every service needs.
    #[command(flatten)]
    pub service: config::Service,
    /// SMS gateway: base URL of its HTTP interface.
    #[arg(long, env = "HAIQU_SMS_URL")]
    pub sms_url: String,
    /// Key that the SMS gateway knows us by.
    #[arg(long, env = "HAIQU_SMS_KEY", hide_env_values = true)]
    pub sms_key: SecretString,
    /// What links in reminders begin with, as phones reach this service: `https://eq.example.gov.cn`.
    #[arg(long, env = "HAIQU_LINK_BASE")]
    pub link_base: String,
    /// Key that the links are made with, the same on every replica; at least 32 characters.
    #[arg(long, env = "HAIQU_LINK_KEY", hide_env_values = true, value_parser = config::key)]
    pub link_key: SecretString,
}
