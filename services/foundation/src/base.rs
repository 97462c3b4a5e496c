//! Words, ids, times, errors, who calls and what they may see. Nothing here waits for anything.

pub mod chain;
pub mod config;
pub mod context;
pub mod error;
pub mod id;
pub mod metrics;
pub mod scope;
pub mod stop;
pub mod text;
pub mod time;
pub mod trace;
pub mod violations;
pub mod words;

pub use chain::Chain;
pub use context::{Actor, Context};
pub use error::{Error, Failure, Refuse, Refused};
pub use scope::{Listing, Scope};
pub use stop::Stop;
pub use time::Timestamp;
pub use violations::{Invalid, Violations};
pub use words::Wire;
