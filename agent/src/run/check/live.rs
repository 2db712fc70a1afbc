//! `check --live`: whether an agent is at work, for a container health check.
//!
//! The means is the ready file: it is there only while everything is hooked up, names the process, and is touched while
//! that goes on. So a health check needs no port, no shell and no rights.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    domain::check::{Check, State},
    run::ready::TOUCHED_EVERY,
};

/// An agent that did not touch the file for this long hangs, even on a busy machine.
const STALE: Duration = Duration::from_secs(6 * TOUCHED_EVERY.as_secs());

const ID: &str = "live";

/// Whether the agent that wrote this file is at work.
pub fn check(path: &Path) -> Check {
    let lacks = |found: String, fix: &str| Check::lacks(State::Fail, ID, found, fix);
    let shown = path.display();
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            return lacks(
                format!("{shown} cannot be read: {error}"),
                "no agent is at work with this --ready-file, or it cannot observe: read the log of the agent",
            );
        }
    };
    let Some(id) = text.trim().parse::<u32>().ok().filter(|id| *id > 0) else {
        return lacks(format!("{shown} holds no process id"), "name the file of the agent's --ready-file");
    };
    // The file of a killed agent stays; its process does not.
    let Ok(command) = fs::read_to_string(format!("/proc/{id}/comm")) else {
        return lacks(format!("process {id} of {shown} is gone"), "start the agent again");
    };
    let own = fs::read_to_string("/proc/self/comm").unwrap_or_default();
    if command != own {
        return lacks(
            format!("process {id} of {shown} is {}, no agent", command.trim()),
            "start the agent again",
        );
    }
    let modified = fs::metadata(path).and_then(|file| file.modified());
    let age = modified.ok().and_then(|time| SystemTime::now().duration_since(time).ok()).unwrap_or_default();
    if age > STALE {
        let found = format!("process {id} did not touch {shown} for {} s: it hangs", age.as_secs());
        return lacks(found, "restart the agent, and report this with its log");
    }
    Check::pass(ID, format!("process {id} watches; {shown} was touched {} s ago", age.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_fresh_file_of_a_living_agent_is_live() {
        let path = std::env::temp_dir().join(format!("agent-live-{}", std::process::id()));
        assert_eq!(check(&path).state, State::Fail, "no file");
        for (text, state) in
            [("", State::Fail), ("nonsense", State::Fail), ("4294967294", State::Fail), ("1", State::Fail)]
        {
            fs::write(&path, text).expect("a file");
            assert_eq!(check(&path).state, state, "{text}");
        }
        fs::write(&path, format!("{}\n", std::process::id())).expect("a file");
        assert_eq!(check(&path).state, State::Pass);
        let file = fs::File::options().write(true).open(&path).expect("the file");
        file.set_modified(SystemTime::now() - STALE - Duration::from_secs(2)).expect("an older time");
        let hangs = check(&path);
        assert!(hangs.state == State::Fail && hangs.found.contains("it hangs"), "{hangs:?}");
        fs::remove_file(&path).expect("removing the file");
    }
}
