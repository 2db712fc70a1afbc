//! The binary: reads the command line, runs it, and turns the outcome into one line and an exit code.

use std::{
    io::Write as _,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

use agent::{
    cli::{self, Request},
    run::{self, Failure},
};

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn"))
        .format_timestamp(None)
        .init();
    panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        complain(&format!("internal failure: {text} ({place}); everything is unhooked, please report this"));
    }));
    let request = match cli::parse(std::env::args_os()) {
        Ok(request) => request,
        Err(text) => {
            complain(&text);
            return ExitCode::from(Failure::Usage(text).exit_code());
        }
    };
    // Unwinding takes every hook down; the message was written by the panic hook above.
    match panic::catch_unwind(AssertUnwindSafe(|| perform(request))) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(failure)) => {
            complain(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
        Err(_) => ExitCode::from(Failure::Internal(String::new()).exit_code()),
    }
}

fn perform(request: Request) -> Result<u8, Failure> {
    match request {
        Request::Trace(settings) => run::trace(&settings).map(|()| 0),
        Request::Diagnose(settings) => run::diagnose(&settings),
        Request::Check(wanted) => run::check(&wanted),
        Request::Print(text) => run::print(&text).map(|()| 0),
    }
}

/// One line on standard error. When even that cannot be written, the exit code has to do.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "agent: {text}");
}
