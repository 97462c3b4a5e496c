//! Asking the outside over HTTP: no redirects, a time limit that a lease allows.

use super::lease::REQUEST;

/// A client for the outside.
pub fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(REQUEST)
        .connect_timeout(REQUEST / 2)
        .build()
}
