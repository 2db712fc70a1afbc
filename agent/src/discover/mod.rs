//! What can be found out without rights: the task and its place from metadata, the addresses behind a name,
//! and whose container a process is.
//!
//! Everything here is optional: it is asked for once, within a short time, and what does not answer is a note.

pub mod ecs;
pub mod http;
pub mod imds;
pub mod introspection;
pub mod names;
pub mod workload;

use std::time::{Duration, Instant};

use crate::domain::identity::Identity;

/// Where metadata may be found.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// The ECS task metadata endpoint.
    pub ecs: Option<String>,
    /// The EC2 instance metadata service.
    pub imds: Option<String>,
}

impl Endpoints {
    /// As the platform's environment says.
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let is_disabled =
            variable(imds::DISABLED_VARIABLE).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let ecs = variable(ecs::VARIABLE);
        let imds = variable(imds::ENDPOINT_VARIABLE)
            // On other machines nothing answers there, and it would take a second to find out.
            .or_else(|| imds::is_ec2().then(|| imds::ADDRESS.to_owned()))
            .filter(|_| !is_disabled);
        Self { ecs, imds }
    }
}

/// What was found out.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// The task and its place.
    pub identity: Identity,
    /// What did not work, one line each.
    pub notes: Vec<String>,
    read: Instant,
}

impl Discovered {
    /// Asks every endpoint there is. Takes three seconds at most; blocks.
    pub fn ask(endpoints: &Endpoints) -> Self {
        let mut found = Self::nothing();
        if let Some(endpoint) = &endpoints.ecs {
            match ecs::task(endpoint) {
                Ok(task) => found.identity = task,
                Err(error) => {
                    found
                        .notes
                        .push(format!("ECS task metadata: {error}; going on without ({})", ecs::VARIABLE));
                }
            }
        }
        // The age is of this moment, and the next question may take a while.
        found.read = Instant::now();
        if let Some(endpoint) = &endpoints.imds {
            match imds::instance(endpoint, &found.identity) {
                Ok(instance) => found.identity.complete_with(instance),
                Err(error) => found.notes.push(format!(
                    "instance metadata: {error}; going on without the VPC's prefixes ({}=true asks no more)",
                    imds::DISABLED_VARIABLE
                )),
            }
        }
        found
    }

    /// Nothing was asked.
    pub fn nothing() -> Self {
        Self { identity: Identity::default(), notes: Vec::new(), read: Instant::now() }
    }

    /// What holds of every other task on this host, too.
    pub fn of_host(&self) -> Self {
        Self { identity: self.identity.of_host(), notes: Vec::new(), read: self.read }
    }

    /// How old the task is now.
    pub fn task_age(&self) -> Option<Duration> {
        self.identity.task_age.map(|age| age + self.read.elapsed())
    }
}

/// A word of metadata, if it is one: not empty, not endless, nothing that would move a terminal's cursor.
fn clean(text: &str) -> Option<String> {
    let is_word = !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control);
    is_word.then(|| text.to_owned())
}
