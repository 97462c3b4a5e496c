//! What residents hears: nothing yet.

use foundation::inbox::Routes;

/// One function per event heard.
pub fn routes() -> Routes {
    Routes::new("residents")
}
