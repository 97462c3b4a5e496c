//! The services, once: the binary, the local stack, the tests and the check of the manifests read this list.

use crate::topology::{TOPOLOGY, Topic};

/// A service as everybody else needs to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// Its name: crate, argument of the binary, client id, consumer.
    pub name: &'static str,
    /// Port that it serves on Kubernetes.
    pub port: u16,
    /// Its database.
    pub database: &'static str,
}

impl Service {
    /// What it publishes.
    pub fn topics(&self) -> impl Iterator<Item = &'static Topic> {
        let name = self.name;
        TOPOLOGY.iter().filter(move |topic| topic.publisher() == name)
    }
}

const fn service(name: &'static str) -> Service {
    Service { name, port: 50051, database: name }
}

/// All of them, in the order in which they are shown.
pub const SERVICES: [Service; 5] =
    [service("residents"), service("grievances"), service("dispatch"), service("notifications"), service("oversight")];

/// Their names.
pub const NAMES: [&str; SERVICES.len()] = {
    let mut names = [""; SERVICES.len()];
    let mut index = 0;
    while index < SERVICES.len() {
        names[index] = SERVICES[index].name;
        index += 1;
    }
    names
};
