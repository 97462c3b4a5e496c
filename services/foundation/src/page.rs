//! Pages of lists (AIP-158): newest first, keyed by the last id shown, so that a page stays right while rows arrive.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::rpc::Violations;

/// Which page is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    /// Rows to show.
    pub size: i64,
    /// Only rows with a smaller id; the largest id for the first page.
    pub before: Uuid,
}

impl Page {
    /// Reads `page_size` and `page_token`.
    pub fn parse(violations: &mut Violations, size: i32, token: &str) -> Page {
        let size = match size {
            0 => 50,
            1..=100 => i64::from(size),
            _ => {
                violations.add("page_size", "must be 1 to 100, or 0 for 50");
                50
            }
        };
        let before = match token {
            "" => Uuid::max(),
            token => URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| Uuid::from_slice(&bytes).ok()).unwrap_or_else(
                || {
                    violations.add("page_token", "must be the next_page_token of an earlier answer");
                    Uuid::max()
                },
            ),
        };
        Page { size, before }
    }

    /// The token of the page after rows with these ids; empty when they were the last.
    pub fn next(&self, shown: impl ExactSizeIterator<Item = Uuid>) -> String {
        let full = i64::try_from(shown.len()).is_ok_and(|rows| rows == self.size);
        shown.last().filter(|_| full).map(|id| URL_SAFE_NO_PAD.encode(id.as_bytes())).unwrap_or_default()
    }
}
