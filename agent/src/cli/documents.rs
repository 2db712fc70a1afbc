//! What is made from the definition of the command line: shell completions and the man page.

use std::io;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use super::arguments::Cli;

/// The completion script of a shell.
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "agent", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The man page, in roff: one page for all commands.
///
/// # Errors
///
/// Never: it is written to memory.
pub fn man() -> io::Result<String> {
    let mut command = Cli::command();
    command.build();
    let page = Man::new(command.clone()).section("1");
    let mut roff = Vec::new();
    page.render_title(&mut roff)?;
    page.render_name_section(&mut roff)?;
    page.render_synopsis_section(&mut roff)?;
    page.render_description_section(&mut roff)?;
    for command in command.get_subcommands() {
        roff.extend(of_command(command)?.into_bytes());
    }
    page.render_version_section(&mut roff)?;
    Ok(String::from_utf8_lossy(&roff).into_owned())
}

/// Its sections, named after it: ".SH OPTIONS" would come once for each.
fn of_command(command: &Command) -> io::Result<String> {
    let page = Man::new(command.clone());
    let mut roff = Vec::new();
    page.render_synopsis_section(&mut roff)?;
    page.render_description_section(&mut roff)?;
    page.render_options_section(&mut roff)?;
    if command.get_after_help().is_some() {
        page.render_extra_section(&mut roff)?;
    }
    let name = command.get_name().to_uppercase();
    let text = String::from_utf8_lossy(&roff).into_owned();
    Ok(text.replace(".SH ", &format!(".SH AGENT {name}: ")))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// Every flag that `--help` shows.
    fn flags() -> Vec<String> {
        let command = Cli::command();
        let all = command.get_subcommands().flat_map(Command::get_arguments);
        let shown = all.filter(|arg| !arg.is_hide_set());
        shown.filter_map(|arg| arg.get_long()).map(str::to_owned).collect()
    }

    #[test]
    fn completions_know_every_command_and_every_flag() {
        assert!(flags().len() > 20);
        for shell in Shell::value_variants() {
            let script = completions(*shell);
            for word in flags().into_iter().chain(["trace", "diagnose", "check"].map(str::to_owned)) {
                assert!(script.contains(&word), "{shell} does not know {word}");
            }
        }
    }

    #[test]
    fn the_man_page_names_every_command_and_every_flag() {
        let page = man().expect("memory");
        assert!(page.contains(".TH agent 1"), "{page}");
        for flag in flags() {
            let flag = format!("\\-\\-{}", flag.replace('-', "\\-"));
            assert!(page.contains(&flag), "{flag} is missing");
        }
        for command in ["TRACE", "DIAGNOSE", "CHECK", "EXPLAIN", "COMPLETIONS", "MAN"] {
            assert!(
                page.contains(&format!(".SH AGENT {command}: "))
                    || page.contains(&format!(".SH \"AGENT {command}: ")),
                "{command} is missing"
            );
        }
        assert!(page.contains("Exit codes") && !page.contains("panic\\-after"));
    }
}
