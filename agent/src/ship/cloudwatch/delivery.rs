//! One batch, from the first call to its fate.

use super::{
    batch::{Event, Rejected},
    target::{RETENTION_DAYS, Target},
    trouble::{Action, Class, Trouble},
};

/// The calls there are. The AWS SDK makes them; tests play them.
pub trait Api {
    /// Stores events, which are in order and fit into one call.
    async fn put_log_events(&mut self, events: &[Event]) -> Result<Rejected, Trouble>;
    /// Makes the stream.
    async fn create_log_stream(&mut self) -> Result<(), Trouble>;
    /// Makes the group.
    async fn create_log_group(&mut self) -> Result<(), Trouble>;
    /// Says how long the group keeps its events.
    async fn put_retention_policy(&mut self, days: i32) -> Result<(), Trouble>;
    /// Forgets the credentials, so that the next call gets fresh ones.
    fn forget_credentials(&mut self);
}

/// Stores a batch, and returns how many of its events were rejected. Asks for fresh credentials once, and makes what is
/// missing once, as far as it may.
///
/// # Errors
///
/// The trouble that is left then. Nothing of the batch is known to be stored.
pub async fn deliver(api: &mut impl Api, target: &Target, events: &[Event]) -> Result<usize, Trouble> {
    let (mut has_refreshed, mut has_made) = (false, false);
    loop {
        let trouble = match api.put_log_events(events).await {
            Ok(rejected) => return Ok(rejected.count(events.len())),
            Err(trouble) => trouble,
        };
        match trouble.class {
            Class::Done => return Ok(0),
            Class::CredentialsRefused if !has_refreshed => {
                has_refreshed = true;
                api.forget_credentials();
            }
            Class::Missing if !has_made => {
                has_made = true;
                make(api, target).await?;
            }
            // Made a moment ago, and not yet known everywhere.
            Class::Missing => return Err(Trouble { class: Class::Unavailable, ..trouble }),
            _ => return Err(trouble),
        }
    }
}

/// Makes the stream, and the group first where it is missing and may be made.
async fn make(api: &mut impl Api, target: &Target) -> Result<(), Trouble> {
    match done(api.create_log_stream().await) {
        Err(trouble) if trouble.class == Class::Missing && target.may_create_group => {}
        other => return other,
    }
    done(api.create_log_group().await)?;
    if let Err(trouble) = done(api.put_retention_policy(RETENTION_DAYS).await) {
        // The lines matter more than what keeping them costs.
        log::warn!(
            "{}; the group keeps its events forever until {} is set to {RETENTION_DAYS} days",
            trouble.sentence(target),
            Action::PutRetentionPolicy.name()
        );
    }
    done(api.create_log_stream().await)
}

/// Somebody else made it first: that is what was wanted.
fn done(result: Result<(), Trouble>) -> Result<(), Trouble> {
    match result {
        Err(Trouble { class: Class::Done, .. }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
#[path = "delivery_tests.rs"]
mod tests;
