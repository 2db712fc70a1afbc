//! `check`: what works here, what does not, what that costs, and the line that fixes it. Attaches nothing for good.

mod home;
mod hooks;
mod live;
mod node;
mod rights;
mod surroundings;
mod tried;

use std::{path::PathBuf, time::SystemTime};

use crate::{
    discover::{Discovered, Endpoints},
    domain::check::{Check, State, worst},
    kernel::{limits, privileges},
    output::check as output,
    run::{Failure, VERSION, print},
    settings::{Format, Settings},
};
use home::Home;

/// What is to be checked.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What `trace` would be told.
    pub settings: Settings,
    /// A configuration file that was read, and was right.
    pub config: Option<PathBuf>,
    /// Only whether an agent is at work.
    pub live: bool,
}

/// Checks, says so, and gives the exit code: 0 when all that is needed works, else 3.
///
/// # Errors
///
/// When it cannot be said, or what is asked for makes no sense.
pub fn check(wanted: &Wanted) -> Result<u8, Failure> {
    let checks = if wanted.live { live(&wanted.settings)? } else { all(wanted) };
    let text = match wanted.settings.format {
        Format::Json => {
            output::json(&checks, &humantime::format_rfc3339_millis(SystemTime::now()).to_string())
        }
        _ => output::text(&checks, VERSION),
    };
    print(&text)?;
    Ok(if worst(&checks) == State::Fail { 3 } else { 0 })
}

fn live(settings: &Settings) -> Result<Vec<Check>, Failure> {
    let path = settings.ready_file.as_deref().ok_or_else(|| {
        Failure::Usage(
            "check --live looks at the file that a running agent keeps: give both the same --ready-file, or \
             AGENT_READY_FILE"
                .to_owned(),
        )
    })?;
    Ok(vec![live::check(path)])
}

fn all(wanted: &Wanted) -> Vec<Check> {
    let settings = &wanted.settings;
    let home = Home::find();
    let mut checks = Vec::new();
    if let Some(path) = &wanted.config {
        checks.push(Check::pass("config", format!("{} is right", path.display())));
    }
    checks.extend(rights::checks(settings, home));
    let endpoints = Endpoints::from_environment();
    let discovered = Discovered::ask(&endpoints);
    // As `trace` does: what works without the rest works there.
    limits::raise();
    privileges::begin();
    let mut namespaces = settings.namespaces.clone();
    if settings.all_namespaces {
        let (check, found) = node::targets(settings, home);
        checks.push(check);
        namespaces.extend(found);
    } else if namespaces.is_empty() {
        checks.extend(hooks::checks(None, settings, &discovered, home));
    }
    for netns in &namespaces {
        let of_target = hooks::checks(Some(netns), settings, &discovered, home);
        checks.extend(
            of_target.into_iter().map(|check| Check { found: format!("{netns}: {}", check.found), ..check }),
        );
    }
    checks.extend(surroundings::checks(settings, &endpoints, &discovered, home));
    checks
}
