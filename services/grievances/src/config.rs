//! What grievances must be told.

use clap::Parser;
use foundation::base::config;

/// Grievances: what people ask for, raised, reviewed, followed, graded.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Config {
    /// What every service needs.
    #[command(flatten)]
    pub service: config::Service,
    /// Where photos are kept, shared by all replicas: `file:///folder`, or `s3://bucket` with the usual AWS_* variables.
    #[arg(long, env = "HAIQU_PHOTO_STORE")]
    pub photo_store: String,
}
