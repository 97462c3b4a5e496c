//! Pages of lists (AIP-158): keyed by the last row shown, so that a page stays right while rows arrive. A token is of one list with one
//! filter; one of another, or one that was cut, is refused. It opens nothing: what is shown is inside the caller's scope.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::base::Violations;

/// Rows of a page when nobody says how many.
const USUAL: i64 = 50;
/// Rows of a page at most: who asks for more gets so many.
const MOST: i64 = 200;
/// Bytes of the sum at the end of a token.
const SUM: usize = 8;

/// Which page is asked for.
#[derive(Debug, Clone)]
pub struct Page<K> {
    /// Rows to show.
    pub size: i64,
    /// Key of the last row shown before; none for the first page.
    pub after: Option<K>,
    filter: Vec<u8>,
}

impl<K: Serialize + DeserializeOwned> Page<K> {
    /// Reads `page_size` and `page_token` of a list with this filter, the list's name among it.
    pub fn parse(violations: &mut Violations, size: i32, token: &str, filter: &impl Serialize) -> Page<K> {
        violations.require(size >= 0, "page_size", "must not be negative");
        let size = if size <= 0 { USUAL } else { i64::from(size).min(MOST) };
        let page = Page { size, after: None, filter: serde_json::to_vec(filter).unwrap_or_default() };
        if token.is_empty() {
            return page;
        }
        let after = page.key(token);
        violations.require(
            after.is_some(),
            "page_token",
            "must be the next_page_token of an earlier answer to the same list with the same filter",
        );
        Page { after, ..page }
    }

    /// The token of the page after these rows; empty when they were the last.
    pub fn next<T>(&self, shown: &[T], key: impl Fn(&T) -> K) -> String {
        let full = i64::try_from(shown.len()).is_ok_and(|rows| rows == self.size);
        shown.last().filter(|_| full).map(|last| self.token(&key(last))).unwrap_or_default()
    }

    fn token(&self, key: &K) -> String {
        let mut bytes = serde_json::to_vec(key).unwrap_or_default();
        bytes.extend_from_slice(&self.sum(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn key(&self, token: &str) -> Option<K> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (key, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM)?)?;
        if self.sum(key) == sum { serde_json::from_slice(key).ok() } else { None }
    }

    fn sum(&self, key: &[u8]) -> [u8; SUM] {
        let digest = Sha256::new().chain_update(&self.filter).chain_update(key).finalize();
        let mut sum = [0; SUM];
        sum.copy_from_slice(&digest[..SUM]);
        sum
    }
}

impl Page<Uuid> {
    /// For a list whose newest ids come first: rows have smaller ids than this.
    pub fn before(&self) -> Uuid {
        self.after.unwrap_or(Uuid::max())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(size: i32, token: &str, filter: &str) -> Result<Page<Uuid>, crate::base::Invalid> {
        let mut violations = Violations::default();
        let page = Page::parse(&mut violations, size, token, &("things", filter));
        violations.finish().map(|()| page)
    }

    #[test]
    fn a_size_over_the_limit_is_lowered_and_a_negative_one_refused() {
        assert_eq!(page(0, "", "").unwrap().size, 50);
        assert_eq!(page(200, "", "").unwrap().size, 200);
        assert_eq!(page(201, "", "").unwrap().size, 200);
        assert!(page(-1, "", "").is_err());
    }

    #[test]
    fn a_token_goes_on_with_the_same_filter_only_and_is_not_to_be_altered() {
        let (first, last) = (page(1, "", "a").unwrap(), Uuid::from_u128(7));
        let token = first.next(&[last], |id| *id);
        assert_eq!(page(1, &token, "a").unwrap().before(), last);
        assert!(page(1, &token, "b").is_err());
        let altered = format!("A{}", &token[1..]);
        assert!(altered == token || page(1, &altered, "a").is_err());
        assert!(page(1, "nonsense", "a").is_err() && page(1, "AA", "a").is_err());
        assert_eq!(page(2, "", "a").unwrap().next(&[last], |id| *id), "", "the last page");
    }
}
