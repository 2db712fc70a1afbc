//! The configuration file: the long flags as TOML keys, for whoever has many of them.
//!
//! What it says becomes the default of the flag, so flag and environment go first, and every value is read by the one
//! reader that reads the flag. Each is tried by itself first, so that a wrong one is named with its line.

use std::{fs, io::Read as _, path::Path};

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind};
use toml::de::{DeTable, DeValue};

/// No configuration is longer.
const MAX_BYTES: u64 = 64 * 1024;

/// The commands whose flags may stand in it.
const COMMANDS: [&str; 3] = ["trace", "diagnose", "check"];

/// Flags that may not: they belong to one run.
const NOT_IN_FILE: [&str; 4] = ["config", "live", "help", "version"];

/// One key with its values, as a flag would be given them.
struct Entry {
    key: String,
    line: usize,
    values: Vec<String>,
}

/// Puts the file that the command line or the environment names, if any, behind the flags of all commands.
///
/// # Errors
///
/// One line with the place in the file, when it cannot be read or says something wrong.
pub fn apply(command: Command, matches: &ArgMatches) -> Result<Command, String> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(command) };
    if !COMMANDS.contains(&name) {
        return Ok(command);
    }
    let Some(path) = matches.get_one::<std::path::PathBuf>("config") else { return Ok(command) };
    let text = read(path)?;
    let entries = entries(&command, &text).map_err(|(line, what)| at(path, line, &what))?;
    // A value that the command at hand reads wrong is wrong; one of another command's is tried there.
    let order = || std::iter::once(name).chain(COMMANDS.into_iter().filter(|other| *other != name));
    for entry in &entries {
        let owner = order().find(|owner| flag(&command, owner, &entry.key).is_some());
        let tried = owner.map_or(Ok(()), |owner| try_alone(&command, owner, entry));
        tried.map_err(|what| at(path, entry.line, &what))?;
    }
    let mut command = command;
    for owner in COMMANDS {
        command = command.mut_subcommand(owner, |command| entries.iter().fold(command, with_default));
    }
    Ok(command)
}

fn read(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| {
        format!("reading --config {}: {error}; name a file that can be read", path.display())
    };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(format!("reading --config {}: it is longer than {MAX_BYTES} bytes", path.display()));
    }
    Ok(text)
}

fn at(path: &Path, line: usize, what: &str) -> String {
    format!("{} line {line}: {what}", path.display())
}

/// All entries; an error comes with its line.
fn entries(command: &Command, text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let line_of = |place: usize| {
        text.as_bytes()[..place.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
    };
    let table = DeTable::parse(text).map_err(|error| {
        let line = line_of(error.span().map_or(0, |span| span.start));
        (line, error.message().replace('\n', " "))
    })?;
    let mut entries = Vec::new();
    for (key, value) in table.get_ref() {
        let (line, name) = (line_of(key.span().start), key.get_ref().as_ref());
        let owner = COMMANDS.into_iter().find_map(|owner| flag(command, owner, name));
        let arg = owner.ok_or_else(|| (line, unknown(command, name)))?;
        let values = values(arg, value.get_ref()).map_err(|what| (line, format!("{name} {what}")))?;
        entries.push(Entry { key: name.to_owned(), line, values });
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// The flag `--some-name` of a command, by its key `some_name`.
fn flag<'a>(command: &'a Command, owner: &str, key: &str) -> Option<&'a Arg> {
    let owner = command.find_subcommand(owner)?;
    owner.get_arguments().find(|arg| key_of(arg).as_deref() == Some(key))
}

fn key_of(arg: &Arg) -> Option<String> {
    let name = arg.get_long().filter(|name| !NOT_IN_FILE.contains(name) && !arg.is_hide_set())?;
    Some(name.replace('-', "_"))
}

fn unknown(command: &Command, key: &str) -> String {
    let mut known: Vec<String> = COMMANDS
        .into_iter()
        .filter_map(|owner| command.find_subcommand(owner))
        .flat_map(|owner| owner.get_arguments().filter_map(key_of))
        .collect();
    known.sort();
    known.dedup();
    format!("{} is no key: there are {}", key.escape_debug(), known.join(", "))
}

fn values(arg: &Arg, value: &DeValue<'_>) -> Result<Vec<String>, String> {
    let takes_many = matches!(arg.get_action(), ArgAction::Append) || arg.get_value_delimiter().is_some();
    let is_switch = matches!(arg.get_action(), ArgAction::SetTrue);
    match value {
        DeValue::Boolean(value) if is_switch => Ok(vec![value.to_string()]),
        _ if is_switch => Err("is true or false, without quotes".to_owned()),
        DeValue::Array(items) if takes_many => {
            items.iter().map(|item| scalar(item.get_ref())).collect::<Option<_>>().ok_or_else(|| wanted(true))
        }
        other => scalar(other).map(|value| vec![value]).ok_or_else(|| wanted(takes_many)),
    }
}

fn wanted(many: bool) -> String {
    if many {
        "takes a text, a number, or a list of them".to_owned()
    } else {
        "takes one text in quotes, or a number".to_owned()
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        _ => None,
    }
}

/// Gives the flag alone, on a command line that is otherwise empty.
fn try_alone(command: &Command, owner: &str, entry: &Entry) -> Result<(), String> {
    let flag_name = entry.key.replace('_', "-");
    let is_switch =
        flag(command, owner, &entry.key).is_some_and(|arg| matches!(arg.get_action(), ArgAction::SetTrue));
    if is_switch {
        return Ok(());
    }
    let flags = entry.values.iter().map(|value| format!("--{flag_name}={value}"));
    let line = ["agent".to_owned(), owner.to_owned()].into_iter().chain(flags);
    // Whatever else stands in the environment was read with the command line already.
    match command.clone().try_get_matches_from(line) {
        Ok(_) => Ok(()),
        // Its companions may stand elsewhere; the whole is checked with them.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => Ok(()),
        Err(error) => Err(super::sentence(&error)),
    }
}

fn with_default(command: Command, entry: &Entry) -> Command {
    let id = command.get_arguments().find(|arg| key_of(arg).as_deref() == Some(&entry.key));
    let Some(id) = id.map(|arg| arg.get_id().clone()) else { return command };
    command.mut_arg(id, |arg| arg.default_values(entry.values.clone()))
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
