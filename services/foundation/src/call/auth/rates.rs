//! How often one may call: each caller by its subject, and anonymous ones, who show no good token, by their address. A process counts
//! for itself. What is over the limit is refused at once and says so; nothing is dropped silently.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use proto::access::Role;
use tonic::Status;

use super::Admitted;

/// Calls a second, and how many of them may come at once.
const CALLER: (u32, u32) = (500, 2000);
const ADDRESS: (u32, u32) = (100, 500);

#[derive(Debug)]
pub struct Rates {
    callers: DefaultKeyedRateLimiter<String>,
    addresses: DefaultKeyedRateLimiter<IpAddr>,
}

impl Default for Rates {
    fn default() -> Rates {
        Rates { callers: RateLimiter::keyed(quota(CALLER)), addresses: RateLimiter::keyed(quota(ADDRESS)) }
    }
}

fn quota((each_second, at_once): (u32, u32)) -> Quota {
    let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(number(each_second)).allow_burst(number(at_once))
}

impl Rates {
    /// Passes on whether a call is admitted, unless its caller has made too many. Our own services are not counted.
    pub fn check(
        &self,
        admitted: Result<Option<Admitted>, Status>,
        address: Option<IpAddr>,
    ) -> Result<Option<Admitted>, Status> {
        let within = match &admitted {
            Ok(Some(caller)) if caller.context.caller.role == Role::Service.name() => true,
            Ok(Some(caller)) => self.callers.check_key(&caller.context.caller.subject).is_ok(),
            Ok(None) | Err(_) => {
                self.addresses.check_key(&address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))).is_ok()
            }
        };
        self.forget();
        if within { admitted } else { Err(Status::resource_exhausted("too many calls: wait a second and repeat")) }
    }

    /// Whoever has been quiet needs no memory.
    fn forget(&self) {
        if self.callers.len() > 10_000 {
            self.callers.retain_recent();
        }
        if self.addresses.len() > 10_000 {
            self.addresses.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anonymous_caller_without_end_is_refused_and_the_next_address_is_not() {
        let rates = Rates::default();
        let bad = || Err(Status::unauthenticated("no token"));
        let code = |address: [u8; 4]| rates.check(bad(), Some(IpAddr::from(address))).unwrap_err().code();
        let codes: Vec<_> = (0..1000).map(|_| code([10, 0, 0, 1])).collect();
        assert_eq!(codes[0], tonic::Code::Unauthenticated);
        assert_eq!(codes[999], tonic::Code::ResourceExhausted);
        assert_eq!(code([10, 0, 0, 2]), tonic::Code::Unauthenticated);
    }
}
